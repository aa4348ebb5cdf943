/**
 * What two processes say to each other of which one takes the other's place, over a channel that
 * only they have. They may be of different versions: nothing here changes its meaning, and what is
 * added may be left out.
 */
import * as z from 'zod'

/** Rises where an earlier process would misunderstand. */
export const CHANNEL_VERSION = 1
/** By it a process knows whose place it takes; the value is that one's number. */
export const PREDECESSOR_VARIABLE = 'POSTERN_UPGRADE_FROM'
/** Where it finds the channel over which descriptors come, and the line. */
export const DESCRIPTOR_CHANNEL = 3
export const LINE = 4

/** A CancelRequest is 16 bytes, or 268 with the longest key of protocol 3.2. */
const CANCEL_CHARACTERS_MAX = 2048
/** All of them wait in the channel until the other process has begun, and it holds 200 or so. */
export const SOCKETS_MAX = 128

const number = z.number().int().nonnegative()
const address = z.discriminatedUnion('network', [
  z.object({ network: z.literal('tcp'), host: z.string(), port: number }),
  z.object({ network: z.literal('udp'), host: z.string(), port: number }),
  z.object({ network: z.literal('unix'), path: z.string() }),
])
const cancel = z.object({
  kind: z.literal('cancel'),
  id: number,
  group: z.string(),
  /** In base64. */
  request: z.string().max(CANCEL_CHARACTERS_MAX),
})
/** Processes that serve no new clients any more, and the clients that they have. */
const earlier = z.object({ processes: number, sessions: number })
export type Earlier = z.infer<typeof earlier>

const toSuccessor = z.discriminatedUnion('kind', [
  /** The first of all; its sockets come as descriptors in the same order. */
  z.object({
    kind: z.literal('begin'),
    channel: number,
    pid: number,
    version: z.string(),
    /** Upgrades that were done before this one. */
    upgrades: number,
    sockets: z.array(z.object({ asked: address, bound: address })).max(SOCKETS_MAX),
  }),
  /** It is to accept. */
  z.object({ kind: z.literal('go') }),
  /** The service manager was told of it. */
  z.object({ kind: z.literal('known') }),
  z.object({ kind: z.literal('earlier'), earlier }),
  z.object({ kind: z.literal('cancelled'), id: number, known: z.boolean() }),
])
export type ToSuccessor = z.infer<typeof toSuccessor>

const toPredecessor = z.discriminatedUnion('kind', [
  /** Said for it: the process is there. */
  z.object({ kind: z.literal('started'), pid: number.min(2) }),
  /** All is there but the clients. `adopted`: which of the sockets are listened on. */
  z.object({ kind: z.literal('ready'), version: z.string(), adopted: z.array(number) }),
  z.object({ kind: z.literal('serving') }),
  z.object({ kind: z.literal('refused'), problem: z.string() }),
  cancel,
  /** Its clients are to end as at a stop: when idle, and by force where that is said too. */
  z.object({ kind: z.literal('stop'), isForced: z.boolean() }),
])
export type ToPredecessor = z.infer<typeof toPredecessor>

/** Throws where it is nothing that is known here. */
export function parseToSuccessor(message: unknown): ToSuccessor {
  return toSuccessor.parse(message)
}

export function parseToPredecessor(message: unknown): ToPredecessor {
  return toPredecessor.parse(message)
}
