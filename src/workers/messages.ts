/**
 * What a gateway and its workers say to each other, over a channel that only they have. Both are
 * one executable, so that configurations and reports are of the shape that it made itself.
 */
import * as z from 'zod'
import type { PluginReport, StatusReport } from '../admin/report.ts'
import type { Address } from '../base/address.ts'
import type { PluginsConfig } from '../config/plugin-schema.ts'
import type { Config, LoggerConfig } from '../config/schema.ts'
import { FAMILY_TYPES } from '../metrics/family.ts'

/** Rises where a message changes its meaning. */
export const CHANNEL_VERSION = 1
/** A CancelRequest is 16 bytes, or 268 with the longest key of protocol 3.2. */
const CANCEL_BYTES_MAX = 1024
const FAMILIES_MAX = 100_000

/** Made by this very executable, and handed over a channel that nobody else has. */
const ours = <Value>() => z.custom<Value>((value) => typeof value === 'object' && value !== null)
const number = z.number().int().nonnegative()
const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array)
const request = bytes.refine(({ length }) => length <= CANCEL_BYTES_MAX)

const attachment = z.object({
  pid: number,
  checksum: z.string(),
  address: z.discriminatedUnion('network', [
    z.object({ network: z.literal('unix'), path: z.string() }),
    z.object({ network: z.literal('tcp'), host: z.string(), port: number }),
  ]),
  pluginCertificate: z.string(),
  certificate: z.string(),
  key: z.string(),
  description: bytes,
})

/** How a plugin is reached, or why it cannot be. */
const reach = z.union([attachment, z.string()])

const handed = z.object({
  generation: number,
  config: ours<Config>(),
  plugins: ours<PluginsConfig>(),
  addresses: z.record(z.string(), ours<Address>()),
  /** The plugins that have started: place in the order, and number of a gRPC one. */
  started: z.array(z.tuple([number, number.nullable()])),
  attachments: z.array(z.tuple([number, reach])),
  /** The groups whose listening sockets come with it, in the order in which they come. */
  sockets: z.array(z.string()),
  /** The numbers under which sessions of groups are counted. */
  numbers: z.array(z.tuple([z.string(), number])),
})
export type Handed = z.infer<typeof handed>

const toWorker = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('start'),
    channel: z.literal(CHANNEL_VERSION),
    worker: number,
    workers: number,
    supervisor: number,
    /** File of the memory in which sessions are counted. */
    page: z.string(),
    logger: ours<LoggerConfig>(),
    dev: z.boolean(),
    /** It accepts nobody until `admit`. */
    isHeld: z.boolean(),
    handed,
  }),
  z.object({ kind: z.literal('prepare'), handed }),
  z.object({ kind: z.literal('commit'), generation: number }),
  z.object({ kind: z.literal('abandon'), generation: number }),
  z.object({ kind: z.literal('plugin'), id: number, reach }),
  z.object({ kind: z.literal('cancel'), id: number, group: z.string(), request }),
  z.object({ kind: z.literal('cancelled'), id: number }),
  z.object({ kind: z.literal('turn') }),
  z.object({ kind: z.literal('admit') }),
  /** `news`: a report is wanted only where something was counted since the last one. */
  z.object({ kind: z.literal('report'), news: z.boolean() }),
  z.object({ kind: z.literal('drain'), timeoutMs: number, graceMs: number }),
  z.object({ kind: z.literal('force') }),
])
export type ToWorker = z.infer<typeof toWorker>

const family = z.object({
  name: z.string(),
  type: z.enum(FAMILY_TYPES),
  help: z.string(),
  lines: z.array(z.string()),
})

const report = z.object({
  status: ours<StatusReport>(),
  plugins: z.array(ours<PluginReport>()),
  families: z.array(family).max(FAMILIES_MAX),
})
/** What a worker tells of itself. */
export type WorkerReport = z.infer<typeof report>

const fromWorker = z.discriminatedUnion('kind', [
  /** It serves, or has taken what was handed into use. */
  z.object({ kind: z.literal('serving'), generation: number }),
  z.object({ kind: z.literal('prepared'), generation: number }),
  z.object({ kind: z.literal('refused'), generation: number, problem: z.string() }),
  z.object({ kind: z.literal('report'), report }),
  /** No report, for there is no news. */
  z.object({ kind: z.literal('same') }),
  z.object({ kind: z.literal('cancel'), id: number, group: z.string(), request }),
  z.object({ kind: z.literal('cancelled'), id: number, known: z.boolean() }),
  z.object({ kind: z.literal('turn'), worker: number }),
  z.object({ kind: z.literal('doubt'), plugin: number }),
  z.object({ kind: z.literal('drained'), report }),
])
export type FromWorker = z.infer<typeof fromWorker>

/** Throws where it is none of ours. */
export function parseToWorker(message: unknown): ToWorker {
  return toWorker.parse(message)
}

export function parseFromWorker(message: unknown): FromWorker {
  return fromWorker.parse(message)
}
