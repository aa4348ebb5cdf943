/** What the gateway itself tells a client, in PostgreSQL's terms, when a session cannot go on. */
import type { Refusal } from '../hooks/verdict.ts'

/** A block of a group. */
interface Place {
  readonly group: string
  readonly block: string
}

export const SERVER_GONE: Refusal = {
  code: '08006',
  message: 'the database closed the connection',
  hint: 'Connect again; the log of the database tells why.',
}

export const SHUTTING_DOWN: Refusal = {
  code: '57P01',
  message: 'the gateway is shutting down',
}

export const CERTIFICATE_NEEDED: Refusal = {
  code: '28000',
  message: 'connection requires a valid client certificate',
  hint: 'Name a certificate and its key with sslcert and sslkey.',
}

export const CERTIFICATE_UNKNOWN: Refusal = {
  code: '28000',
  message: 'the client certificate is not valid here',
  hint: 'It must be in date, and signed by an authority that this gateway trusts.',
}

export const RECONFIGURED: Refusal = {
  code: '57P01',
  message: 'the configuration of the gateway has changed',
  hint: 'Connect again.',
}

export function unreachable(block: string): Refusal {
  return {
    code: '08006',
    message: `the database behind this gateway cannot be reached (${block})`,
    hint: 'Try again later; the log of the gateway tells the cause.',
  }
}

/** No database of the group is known to be what the block is for. */
export function noPrimary({ group, block }: Place): Refusal {
  return {
    code: '57P03',
    message: `no database of this gateway takes writes now (${block} of group ${group})`,
    hint: 'Try again: when a standby is promoted, writes go there.',
  }
}

/** The server of a session was the primary, and is known not to be any more. */
export const DISPLACED: Refusal = {
  code: '57P01',
  message: 'the database behind this session is no longer the primary',
  hint: 'Connect again: new sessions go to the one that is.',
}

/** A plugin routes a session to a block that its group does not have. */
export function noBlock(block: string, group: string): Refusal {
  return { code: '08006', message: `there is no block "${block}" in group "${group}"` }
}

export function tooMany(group: string, sessionsMax: number): Refusal {
  return {
    code: '53300',
    message: `too many clients already (sessionsMax is ${sessionsMax})`,
    hint: `Raise servers.${group}.sessionsMax, or close connections.`,
  }
}

/** No connection of a pool became free in time. */
export function poolFull({ group, block }: Place, sizeMax: number): Refusal {
  return {
    code: '53300',
    message: `no connection to the database became free in time (${block}, ${sizeMax} at most)`,
    hint: `Raise pools.${group}.${block}.size or waitTimeout, or close connections.`,
  }
}

/** Descriptors of the process run short before `sessionsMax` is reached. */
export function noDescriptors(openFilesMax: number): Refusal {
  return {
    code: '53300',
    message: `too many clients already (the gateway may open ${openFilesMax} files)`,
    hint: 'Raise its limit of open files (LimitNOFILE of its unit, or ulimit -n), and restart it.',
  }
}

export function violation(sentence: string): Refusal {
  return { code: '08P01', message: `protocol violation: ${sentence}` }
}

/** `what` did not happen, or nothing did, for too long. */
export function timedOut(what: string, timeoutMs: number): Refusal {
  return { code: '57P05', message: `${what} within ${timeoutMs} ms` }
}

/** The connection to the database has had its time, whatever it is doing. */
export function outlived(receiveDeadlineMs: number): Refusal {
  return {
    code: '57P05',
    message: `the connection to the database may live for ${receiveDeadlineMs} ms, and has`,
    hint: 'Connect again.',
  }
}

/** The database owes a reply and says nothing. */
export function unanswered(receiveTimeoutMs: number): Refusal {
  return {
    code: '08006',
    message: `the database has not answered for ${receiveTimeoutMs} ms`,
    hint: 'It may still be at work on the statement.',
  }
}

/** The database takes no bytes. */
export function untaken(sendDeadlineMs: number): Refusal {
  return { code: '08006', message: `the database has taken no bytes for ${sendDeadlineMs} ms` }
}
