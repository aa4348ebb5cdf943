/** What a client is told whose message cannot be carried to a shared connection. */
import type { Refused } from '../../protocol.ts'
import type { PinReason } from './lasting-effects.ts'

const WHAT: Readonly<Record<PinReason, string>> = {
  listen: 'LISTEN needs',
  lock: 'advisory locks of a session need',
  temporary: 'temporary tables need',
  cursor: 'cursors WITH HOLD need',
  prepare: 'PREPARE, EXECUTE and DEALLOCATE need',
  load: 'LOAD needs',
  setting: 'this setting needs',
  unread: 'a statement that is too long to be looked at needs',
}

const INSTEAD: Readonly<Record<PinReason, string>> = {
  listen: 'Listen on a connection that does not go through this pool.',
  lock: 'Use pg_advisory_xact_lock, or a pool of mode session.',
  temporary: 'Use a pool of mode session, or a table that is not temporary.',
  cursor: 'Leave out WITH HOLD and read the cursor in its transaction.',
  prepare: 'Use the prepared statements of the protocol, which drivers do.',
  load: 'Set session_preload_libraries for the role of the pool.',
  setting: 'Use SET LOCAL within a transaction, or set it for the role of the pool.',
  unread: 'Raise messageBytesMax, or use a pool of mode session.',
}

/** `strict`: nobody has a connection for itself. */
export function needsOwn(reason: PinReason): Refused {
  return {
    code: '0A000',
    message: `${WHAT[reason]} a connection of its own, which this pool does not give`,
    detail: 'The pool shares its connections by transactions, and is strict.',
    hint: INSTEAD[reason],
  }
}

export function alreadyThere(name: string): Refused {
  return { code: '42P05', message: `prepared statement "${name}" already exists` }
}

export function unknown(name: string): Refused {
  const which = name === '' ? 'unnamed prepared statement' : `prepared statement "${name}"`
  return { code: '26000', message: `${which} does not exist` }
}

export function tooManyNames(namesMax: number): Refused {
  return {
    code: '54000',
    message: `too many prepared statements in one session (${namesMax} at most)`,
    hint: 'Close those that are not needed, or raise pools.<group>.<block>.clientStatementsMax.',
  }
}

export function tooManyTexts(bytesMax: number): Refused {
  return {
    code: '54000',
    message: `the prepared statements of all sessions are too long (${bytesMax} bytes at most)`,
    hint: 'Close those that are not needed, or raise pools.<group>.<block>.statementBytesMax.',
  }
}
