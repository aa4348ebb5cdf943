/** What the gateway says, and sends on, in the place of messages that a step refuses or answers. */
import type { Refused } from '../protocol.ts'
import { joined } from './hold.ts'
import { copyFail, errorResponse, failingParse, failingQuery, SYNC, walk } from './messages.ts'
import { BACKEND, BACKEND_TAGS, FRONTEND, FRONTEND_TAGS } from './tags.ts'
import type { Talk } from './talk.ts'

const EMPTY: Uint8Array = new Uint8Array(0)

/** Messages that belong to a copy into the server. */
function copies(tag: number): boolean {
  return tag === FRONTEND.CopyData || tag === FRONTEND.CopyDone || tag === FRONTEND.CopyFail
}

/** Messages that PostgreSQL answers with a ReadyForQuery: a unit ends with one. */
export function endsReady(tag: number): boolean {
  return tag === FRONTEND.Query || tag === FRONTEND.FunctionCall || tag === FRONTEND.Sync
}

/** Refuses messages of a client that is in; returns what goes to the server in their place. */
export function denied(talk: Talk, unit: Uint8Array, refused: Refused): Uint8Array {
  let out = EMPTY
  walk(unit, FRONTEND_TAGS, (tag, from, to) => {
    out = joined(out, denyOne(talk, tag, unit.subarray(from, to), refused))
  })
  return out
}

/** Refuses one message; returns what goes to the server in its place. */
function denyOne(talk: Talk, tag: number, bytes: Uint8Array, refused: Refused): Uint8Array {
  const { ledger } = talk
  if (tag === FRONTEND.Terminate) {
    ledger.note(tag)
    return talk.lent ? EMPTY : bytes
  }
  if (talk.swallowing) {
    if (tag !== FRONTEND.Sync || !talk.endSwallowing()) return EMPTY
    ledger.note(tag)
    return bytes
  }
  const synchronises = tag === FRONTEND.Sync || tag === FRONTEND.Flush
  if (copies(tag) || (synchronises && ledger.copying)) {
    ledger.note(FRONTEND.CopyFail)
    return copyFail(talk.marker(errorResponse(refused)))
  }
  const ready = endsReady(tag)
  if (ledger.quiet) {
    talk.swallowing = !ready
    talk.answer(errorResponse(refused), ready)
    return EMPTY
  }
  if (tag !== FRONTEND.Sync && ready) {
    ledger.note(FRONTEND.Query)
    return failingQuery(talk.marker(errorResponse(refused)))
  }
  // The rest up to Sync is not needed any more: the server would skip it.
  talk.swallowing = tag !== FRONTEND.Sync
  const fails = failing(talk, errorResponse(refused), synchronises)
  if (tag !== FRONTEND.Sync) return fails
  ledger.note(FRONTEND.Sync)
  return joined(fails, SYNC)
}

/**
 * What surely fails in a pipeline; `instead` is written in the place of the error. Behind
 * an Execute the server may copy in by the time it reads this, where only CopyFail fails well:
 * elsewhere the server ignores that. Needed where a client may still be polite to a copy.
 */
function failing(talk: Talk, instead: Uint8Array, mayCopy: boolean): Uint8Array {
  const { ledger } = talk
  if (mayCopy) ledger.note(FRONTEND.CopyFail)
  ledger.note(FRONTEND.Parse)
  const marker = talk.marker(instead)
  return mayCopy ? joined(copyFail(marker), failingParse(marker)) : failingParse(marker)
}

/** Why the bytes cannot answer a request; null if they can. */
export function answerFlaw(bytes: Uint8Array): string | null {
  let ready = 0
  let behind = 0
  const flaw = walk(bytes, BACKEND_TAGS, (tag) => {
    if (tag === BACKEND.ReadyForQuery) ready += 1
    else if (ready > 0) behind += 1
  })
  if (flaw !== null) return flaw
  if (ready > 1) return `${ready} ReadyForQuery messages in one answer`
  return behind > 0 ? 'messages follow ReadyForQuery' : null
}

/** Answers messages of a client that is in; returns what the server must be sent all the same. */
export function responded(talk: Talk, unit: Uint8Array, bytes: Uint8Array): Uint8Array {
  let synced = false
  let readyOwed = false
  let extended = false
  let endsCopy = false
  let asks = false
  walk(unit, FRONTEND_TAGS, (tag) => {
    synced ||= tag === FRONTEND.Sync
    readyOwed ||= endsReady(tag)
    endsCopy ||= tag === FRONTEND.CopyDone || tag === FRONTEND.CopyFail
    asks ||= !(copies(tag) || tag === FRONTEND.Sync || tag === FRONTEND.Flush)
    extended ||= !(endsReady(tag) || tag === FRONTEND.CopyData)
  })
  if (talk.swallowing) {
    if (!synced || !talk.endSwallowing()) return EMPTY
    talk.ledger.note(FRONTEND.Sync)
    return SYNC
  }
  const { body, failed, ready } = splitAnswer(bytes)
  if (endsCopy && !asks && talk.ledger.owed > 0) return respondCopy(talk, body, synced)
  const server = talk.ledger.unsynced > 0 && (extended || synced)
  let out = EMPTY
  // What this pipeline did before must not be committed by its Sync.
  if (server && failed) out = failing(talk, body.slice(), !asks)
  else talk.answer(body, readyOwed && !server)
  if (synced && server) {
    talk.ledger.note(FRONTEND.Sync)
    return joined(out, SYNC)
  }
  talk.swallowing = extended && !readyOwed && (failed || ready)
  return out
}

/** The copy must end at the server too: it fails there, and its error becomes the answer. */
function respondCopy(talk: Talk, body: Uint8Array, synced: boolean): Uint8Array {
  const { ledger } = talk
  ledger.note(FRONTEND.CopyFail)
  const ends = copyFail(talk.marker(body.slice()))
  if (!synced) return ends
  ledger.note(FRONTEND.Sync)
  return joined(ends, SYNC)
}

/** An answer without its ReadyForQuery, and whether it had one, and an error. */
function splitAnswer(bytes: Uint8Array): { body: Uint8Array; failed: boolean; ready: boolean } {
  let end = bytes.length
  let failed = false
  walk(bytes, BACKEND_TAGS, (tag, from) => {
    if (tag === BACKEND.ReadyForQuery) end = from
    failed ||= tag === BACKEND.ErrorResponse
  })
  const ready = end < bytes.length
  return { body: ready ? bytes.subarray(0, end) : bytes, failed, ready }
}
