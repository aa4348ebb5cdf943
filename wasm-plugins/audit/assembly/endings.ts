/** How statements end: by an answer of the server, or without one. */
import { NOTHING } from '../../shared/assembly/blobs'
import {
  firstIn,
  numberIn,
  ownedIn,
  Requests,
  secondIn,
  setNumber,
  setSince,
  sinceIn,
  typeIn,
} from '../../shared/assembly/requests'
import { ErrorResponse, Frontend, lengthOf, nowMs, ptrOf } from '../../sdk/assembly/sdk'
import { Client, giveBackBlock } from './client'
import { countedError, Ending, Outcome, serverError } from './lines'

const ending = new Ending()
/** The error that `failed` is about. */
let error: ErrorResponse | null = null

/** How many statements a Query has; in the upper half stands whether it is told. */
export function statementsIn(entry: usize): i32 {
  return <i32>(secondIn(entry) & 0xffff_ffff)
}

function isChosen(entry: usize): bool {
  if (typeIn(entry) == Frontend.QUERY) return secondIn(entry) >> 32 != 0
  return firstIn(entry) != 0
}

/** The summary of statement `at` of a Query: the only one stands in the entry, more in a block. */
function summaryIn(entry: usize, at: i32): i32 {
  const block = ownedIn(entry)
  if (block == 0) return <i32>firstIn(entry)
  return at * 4 < lengthOf(block) ? load<i32>(ptrOf(block) + at * 4) : NOTHING
}

/** CommandComplete, EmptyQueryResponse or PortalSuspended: a statement is done. */
export function done(client: Client, rows: i64): void {
  const entry = client.present
  if (entry == 0) return
  if (typeIn(entry) == Frontend.QUERY) {
    const at = numberIn(entry)
    if (at >= statementsIn(entry)) return
    endOne(client, entry, summaryIn(entry, at), Outcome.Done, rows)
    setNumber(entry, at + 1)
    if (at + 1 < statementsIn(entry)) setSince(entry, nowMs())
  } else if (typeIn(entry) == Frontend.EXECUTE) {
    endOne(client, entry, numberIn(entry), Outcome.Done, rows)
    giveBackBlock(ownedIn(entry))
    client.answered(entry)
  }
}

function endOne(client: Client, entry: usize, summary: i32, outcome: Outcome, rows: i64): void {
  const sinceMs = sinceIn(entry)
  ending.begin(outcome, sinceMs == 0 ? 0 : nowMs() - sinceMs)
  ending.rows = rows
  if (outcome == Outcome.Failed) ending.error = error
  if (typeIn(entry) == Frontend.EXECUTE) ending.parameters = ownedIn(entry)
  ending.tell(client, summary, isChosen(entry))
}

/** An answer to something that is no statement. */
export function settle(client: Client, type: u8): void {
  const entry = client.awaited(type)
  if (entry != 0) client.answered(entry)
}

/** ReadyForQuery: a Describe that failed has taken with it what stood behind it. */
export function ready(client: Client): void {
  client.giveUpToSync()
  client.ready()
}

/** ErrorResponse behind the login. */
export function failed(client: Client, found: ErrorResponse): void {
  // Behind a Sync's own answers an error is that of a Describe, which is not kept.
  const entry: usize = client.isAtSync ? 0 : client.present
  countedError(client, found)
  error = found
  const type = entry == 0 ? 0 : typeIn(entry)
  if (type == Frontend.QUERY) failQuery(client, entry)
  else if (type == Frontend.EXECUTE) {
    endOne(client, entry, numberIn(entry), Outcome.Failed, -1)
    giveBackBlock(ownedIn(entry))
    client.answered(entry)
    client.failedAnswered()
  } else if (type == Frontend.PARSE || type == Frontend.BIND) {
    // The Execute behind it is the same statement: it is told once.
    client.failedEarly = numberIn(entry)
    client.failed()
    if (client.failedEarly != NOTHING) {
      ending.begin(Outcome.Failed, 0).error = found
      ending.tell(client, client.failedEarly, true)
    }
    client.failedEarly = NOTHING
  } else {
    serverError(client, found)
    client.failed()
  }
  error = null
}

/** The statement that was under way has failed, and those behind it in the text are not run. */
function failQuery(client: Client, entry: usize): void {
  const count = statementsIn(entry)
  let at = numberIn(entry)
  if (at >= count) return serverError(client, error!)
  endOne(client, entry, summaryIn(entry, at), Outcome.Failed, -1)
  while (++at < count) endOne(client, entry, summaryIn(entry, at), Outcome.Skipped, -1)
  setNumber(entry, count)
  client.failed()
}

/** A request that the server will not answer. */
export function withoutAnswer(client: Client, entry: usize): void {
  const outcome = client.isClosing ? Outcome.Unfinished : Outcome.Skipped
  if (typeIn(entry) == Frontend.EXECUTE) {
    const summary = numberIn(entry)
    const isIt = client.failedEarly != NOTHING && client.failedEarly == summary
    if (isIt) client.failedEarly = NOTHING
    endOne(client, entry, summary, isIt ? Outcome.Failed : outcome, -1)
  } else if (typeIn(entry) == Frontend.QUERY) {
    // Behind ReadyForQuery all of a text has been run, whatever was counted.
    const how = client.isClosing ? Outcome.Unfinished : Outcome.Done
    for (let at = numberIn(entry); at < statementsIn(entry); at++) {
      endOne(client, entry, summaryIn(entry, at), how, -1)
    }
  } else return
  giveBackBlock(ownedIn(entry))
}

/** What has come from the client and was never sent on: something else has answered it. */
export function refused(client: Client): void {
  const offers = client.offers
  let executed = false
  let prepared = NOTHING
  for (let entry = offers.present; entry != 0; entry = offers.present) {
    const type = typeIn(entry)
    if (type == Frontend.QUERY) {
      for (let at = 0; at < statementsIn(entry); at++) {
        endOne(client, entry, summaryIn(entry, at), Outcome.Refused, -1)
      }
      giveBackBlock(ownedIn(entry))
    } else if (type == Frontend.EXECUTE) {
      executed = true
      endOne(client, entry, numberIn(entry), Outcome.Refused, -1)
      giveBackBlock(ownedIn(entry))
    } else if (type == Frontend.PARSE) prepared = numberIn(entry)
    offers.answered(entry)
  }
  offers.clear()
  if (executed || prepared == NOTHING) return
  ending.begin(Outcome.Refused, 0).tell(client, prepared, true)
}

/** Takes the offer of a message that was sent; what came before it and was not is refused. */
export function offerOf(client: Client, type: u8): usize {
  const offers: Requests = client.offers
  let entry = offers.present
  while (entry != 0 && typeIn(entry) != type) {
    if (typeIn(entry) == Frontend.EXECUTE) {
      endOne(client, entry, numberIn(entry), Outcome.Refused, -1)
    }
    giveBackBlock(ownedIn(entry))
    offers.answered(entry)
    entry = offers.present
  }
  return entry
}
