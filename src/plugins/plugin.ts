/** The one interface behind which plugins of every runtime stand, and what they are handed. */
import type { Logger } from 'pino'
import type { Policies } from '../config/policies.ts'
import type { OnFailure, PluginSteps } from '../hooks/step.ts'
import type { CallCounts } from '../metrics/calls.ts'
import type { PluginMeter } from '../metrics/meter.ts'
import type { Clock } from './clock.ts'
import type { LimitHits, PluginLimits } from './limits.ts'
import type { Consumption } from './wasm/deadline.ts'
import type { TrapCounts } from './wasm/trap.ts'

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
  /** False: a gRPC plugin that is gone stays so. WASM instances are renewed all the same. */
  readonly reloadOnCrash: boolean
  /** What is done about the signals of a gRPC plugin; left out: as where no file says otherwise. */
  readonly policies?: Policies
  /** Who runs the process of a gRPC plugin, where that is another process than this one. */
  readonly attachedTo?: number
  /** What a WASM plugin may use up; its call deadline is never longer than `timeoutMs`. */
  readonly limits: PluginLimits
}

/** What the gateway hands to every plugin it makes. */
export interface PluginSurroundings {
  readonly log: Logger
  readonly meter: PluginMeter
  /** True under `--dev`: a missing checksum is permitted, a wrong one only warned of. */
  readonly dev: boolean
  /** Private folder (0700) for sockets of plugins; made on first use, owned by the gateway. */
  readonly runFolder: () => string
  /** Notes a process, so that it can be ended later should the gateway be killed before it. */
  readonly noteProcess?: (pid: number) => ProcessNote
  /** Where the processes of plugins are run by another process; left out: they are run here. */
  readonly attachments?: (id: number) => AttachmentSource
  /** The machine's own where it is left out. */
  readonly clock?: Clock
}

/** How the process of a gRPC plugin is reached; its key is for no log and no command line. */
export interface Attachment {
  readonly pid: number
  readonly checksum: string
  readonly address:
    | { network: 'unix'; path: string }
    | { network: 'tcp'; host: string; port: number }
  /** PEM of the certificate that the plugin shows. */
  readonly pluginCertificate: string
  /** PEM of the certificate and the key that it expects. */
  readonly certificate: string
  readonly key: string
  /** What it answered to GetPluginConfig, as it came. */
  readonly description: Uint8Array
}

/** What another process tells of a plugin that it runs. */
export interface AttachmentSource {
  /** How it is reached now, or why it cannot be. */
  current(): Attachment | string
  /** Tells of every change, until the returned function is called. */
  watch(changed: () => void): () => void
  /** It answers neither calls nor pings. */
  doubted(): void
}

/** The note of one process. */
export interface ProcessNote {
  /** Its program is now the one that it stays, and these are the sockets that it made. */
  settled(sockets: readonly string[]): void
  ended(): void
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
  /** With how many workers it does what it promises, where it keeps data in each; null: any. */
  readonly workersMax?: number | null
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
  /** Restarts begun so far; of a WASM plugin: instances made anew. */
  readonly restarts: number
  /** Milliseconds until it is tried again, or null. */
  readonly nextTryInMs: number | null
  /** When it became ready, in milliseconds since 1970, or null where it is not. */
  readonly readySince: number | null
  /** The last lines on standard error of the gRPC process that failed last. */
  readonly lastLines: readonly string[]
}

/** Looks at what a plugin says about itself, before it gets any steps; throws to refuse it. */
export type Admission = (manifest: PluginManifest) => void

/** What a WASM plugin used up and ran into, over all its instances; read by the metrics. */
export interface SandboxFacts {
  readonly hits: LimitHits
  readonly traps: TrapCounts
  readonly consumption: Readonly<Consumption>
  /** The memory of the present instance; 0: there is none. */
  readonly memoryBytes: number
}

export interface Plugin {
  /** Only WASM plugins run in a sandbox. */
  readonly sandbox?: SandboxFacts
  /** The entry's name, else the manifest's; "" before the start. */
  readonly name: string
  readonly spec: PluginSpec
  /** Null before the start. */
  readonly manifest: PluginManifest | null
  /** What was called so far, hook by hook, over all restarts. */
  readonly calls: CallCounts
  /** Empty before the start. Stays the same object's steps over restarts. */
  readonly steps: PluginSteps
  status(): PluginStatus
  /** Resolves when ready; rejects with a GatewayError that names the plugin and the cause. */
  start(admit?: Admission): Promise<void>
  /** Idempotent and bounded in time; leaves no process and no socket file. */
  stop(): Promise<void>
  /**
   * Asks a ready plugin whether it still answers, where that can be asked; one that does not in
   * time is taken for lost.
   */
  check?(timeoutMs: number): Promise<void>
  /** How other processes reach it, while it can be called; left out: they cannot. */
  attachment?(): Attachment | null
  /** Told of every new state. */
  onStateChange?: (state: PluginState) => void
}
