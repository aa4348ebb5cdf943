/** The one interface behind which plugins of every runtime stand, and what they are handed. */
import type { Logger } from 'pino'
import type { OnFailure, PluginSteps } from '../hooks/step.ts'
import type { PluginMeter } from '../metrics/meter.ts'

export type Runtime = 'grpc' | 'wasm'

/** One entry of the plugins file, checked, with every default filled in. */
export interface PluginSpec {
  /** Null where the entry leaves it to the manifest (`--plugin FILE`). */
  readonly name: string | null
  /** Position in the file plus 1000; lower runs first. A restart keeps it. */
  readonly priority: number
  readonly runtime: Runtime
  readonly localPath: string
  /** 64 lowercase hex digits (SHA-256 of the file), or null: permitted only with `dev`. */
  readonly checksum: string | null
  readonly args: readonly string[]
  /** `NAME=value`, beats what is inherited. */
  readonly env: readonly string[]
  /** Names (a trailing `*` matches the rest) taken from our own environment; true: all of it. */
  readonly inheritEnv: true | readonly string[]
  readonly config: Readonly<Record<string, unknown>>
  readonly required: boolean
  readonly onFailure: OnFailure
  readonly timeoutMs: number
  readonly startTimeoutMs: number
  /** Longest result of a gRPC plugin, in bytes. */
  readonly resultBytesMax: number
}

/** What the gateway hands to every plugin it makes. */
export interface PluginSurroundings {
  readonly log: Logger
  readonly meter: PluginMeter
  /** True under `--dev`: a missing checksum is permitted, a wrong one only warned of. */
  readonly dev: boolean
  /** Private folder (0700) for sockets of plugins; made on first use, owned by the gateway. */
  readonly runFolder: () => string
}

/** States of a plugin's life, as `plugin list` and the metrics name them. */
export const PLUGIN_STATES = [
  'starting',
  'ready',
  'failing',
  'restarting',
  'broken',
  'stopped',
] as const
export type PluginState = (typeof PLUGIN_STATES)[number]

/** What a plugin says about itself, from the WASM manifest or GetPluginConfig. */
export interface PluginManifest {
  readonly name: string
  readonly version: string
  readonly description: string
  readonly authors: readonly string[]
  readonly license: string
  readonly projectUrl: string
  readonly hooks: readonly string[]
  readonly requires: readonly { readonly name: string; readonly version: string }[]
  /** Where the plugin serves Prometheus text itself (gRPC plugins), else null. */
  readonly metricsSocket: string | null
}

export interface PluginStatus {
  readonly name: string
  readonly runtime: Runtime
  readonly state: PluginState
  readonly priority: number
  readonly path: string
  /** SHA-256 found, 64 hex digits, or "" before the file was read. */
  readonly checksum: string
  readonly version: string
  readonly hooks: readonly string[]
  readonly onFailure: OnFailure
  readonly required: boolean
  /** Hook calls so far, and how many of them failed or timed out. */
  readonly calls: number
  readonly failures: number
  /** Processor or waiting time spent in calls so far, in microseconds. */
  readonly callMicros: number
  /** The last error's sentence, or "". */
  readonly lastError: string
  /** Process id of a gRPC plugin, else null. */
  readonly pid: number | null
}

export interface Plugin {
  /** The entry's name, else the manifest's; "" before the start. */
  readonly name: string
  readonly spec: PluginSpec
  /** Null before the start. */
  readonly manifest: PluginManifest | null
  /** Empty before the start. Stays the same object's steps over restarts. */
  readonly steps: PluginSteps
  status(): PluginStatus
  /** Resolves when ready; rejects with a GatewayError that names the plugin and the cause. */
  start(): Promise<void>
  /** Idempotent and bounded in time; leaves no process and no socket file. */
  stop(): Promise<void>
  /** Told once a ready plugin can no longer answer (its process exited, its breaker opened). */
  onStateChange?: (state: PluginState) => void
}
