/** The lines of the log and the metrics, at the end of each statement and connection. */
import {
  ErrorResponse,
  Json,
  lengthOf,
  Manifest,
  NONE,
  part,
  Slice,
} from '../../sdk/assembly/sdk'
import { log } from '../../sdk/assembly/host'
import { spelled, Word } from '../../sdk/assembly/sql/words'
import { Client } from './client'
import { Options } from './options'
import { characters, EMPTY, fieldsOf, kindOf } from './summary'

const MESSAGE_BYTES_MAX: i32 = 1024

export const manifest = new Manifest(
  'audit', '1.0.0', 'Tells who ran what, for how long, and how it ended',
)
const statementsTotal = manifest.counter('statements_total', 'Statements by kind', 'kind')
const seconds = manifest.histogram(
  'statement_seconds', 'From a statement to its end, in seconds', 'kind',
  '0.001,0.003,0.01,0.03,0.1,0.3,1,3,10,30,100,300',
)
const rowsTotal = manifest.counter('rows_total', 'Rows read or written', 'kind')
const errorsTotal = manifest.counter(
  'errors_total', 'Errors of the server by SQLSTATE class', 'class',
)
const refusedTotal = manifest.counter(
  'refused_total', 'Statements that something refused or answered before the server', 'kind',
)
const loginsFailed = manifest.counter(
  'logins_failed_total', 'Logins refused by SQLSTATE class', 'class',
)
const connectionsTotal = manifest.counter('connections_total', 'Connections that have logged in')

const json = new Json()

/** How a statement has ended. */
export const enum Outcome {
  Done,
  Failed,
  /** It did not get to the server. */
  Refused,
  /** Another one before it has failed. */
  Skipped,
  /** Nobody knows: the connection ended. */
  Unfinished,
}

const OUTCOMES: StaticArray<string> = ['done', 'failed', 'refused', 'skipped', 'unfinished']

/** More of one message than are told one by one: how many, and of which kinds. */
export function countedOnly(client: Client, count: i32, ofKind: StaticArray<i32>): void {
  for (let kind = 0; kind < ofKind.length; kind++) {
    if (ofKind[kind] > 0) statementsTotal.label(spelled(<Word>kind)).add(ofKind[kind])
  }
  if (!Options.writes) return
  begin('statements counted, not listed').key('count').integer(count).key('kinds').array()
  for (let kind = 0; kind < ofKind.length; kind++) {
    if (ofKind[kind] > 0) json.string(spelled(<Word>kind))
  }
  json.endArray()
  end(client)
}

function begin(message: string): Json {
  return json.clear().object().key('message').text(message)
}

/** Adds fields that are JSON already; they begin with a key. */
function addFields(fields: Slice): void {
  if (lengthOf(fields) > 0) json.raw(fields)
}

function end(client: Client): void {
  addFields(client.identity)
  log(Options.level, json.endObject().bytes)
}

@final
export class Ending {
  outcome: Outcome = Outcome.Done
  durationMs: f64 = 0
  /** -1: not told. */
  rows: i64 = -1
  error: ErrorResponse | null = null
  parameters: Slice = NONE

  begin(outcome: Outcome, durationMs: f64): this {
    this.outcome = outcome
    this.durationMs = max<f64>(0, durationMs)
    this.rows = -1
    this.error = null
    this.parameters = NONE
    return this
  }

  /** Counts the end of a statement, and writes its line where that is wanted. */
  tell(client: Client, summary: i32, isChosen: bool): void {
    if (summary == EMPTY) return
    const outcome = this.outcome
    const isDone = outcome == Outcome.Done
    const kind = kindOf(summary)
    client.statements++
    statementsTotal.label(kind).add()
    if (isDone) {
      seconds.label(kind).add(this.durationMs / 1000)
      if (this.rows > 0) rowsTotal.label(kind).add(<f64>this.rows)
    } else if (outcome == Outcome.Refused) refusedTotal.label(kind).add()
    if (!Options.writes) return
    if (isDone && (!isChosen || this.durationMs < Options.minDurationMs)) return
    if (outcome == Outcome.Skipped && !isChosen) return
    begin('statement')
    addFields(fieldsOf(summary))
    json.key('outcome').text(OUTCOMES[outcome])
    if (isDone || outcome == Outcome.Failed) json.key('durationMs').integer(<i64>this.durationMs)
    if (this.rows >= 0) json.key('rows').integer(this.rows)
    if (this.parameters != NONE) json.key('parameters').raw(this.parameters)
    if (this.error != null) writeError(this.error!)
    end(client)
  }
}

/** What an error says, but for its words, which may repeat what is in rows. */
function writeError(error: ErrorResponse): void {
  json.key('error').string(error.code)
  if (!Options.errorMessages) return
  json.key('errorMessage').string(characters(error.message, MESSAGE_BYTES_MAX))
}

/** The first two letters of an SQLSTATE: of the rest there are too many. */
function classOf(error: ErrorResponse): Slice {
  return part(error.code, 0, 2)
}

export function countedError(client: Client, error: ErrorResponse): void {
  client.errors++
  errorsTotal.label(classOf(error)).add()
}

export function opened(client: Client): void {
  connectionsTotal.add()
  if (!Options.writes || !Options.connections) return
  begin('connection opened')
  end(client)
}

export function closed(client: Client, durationMs: f64): void {
  if (!Options.writes || !Options.connections) return
  begin('connection closed').key('durationMs').integer(<i64>max<f64>(0, durationMs))
  json.key('statements').integer(client.statements).key('errors').integer(client.errors)
  end(client)
}

/** An error before the login was through. */
export function loginFailed(client: Client, error: ErrorResponse): void {
  loginsFailed.label(classOf(error)).add()
  if (!Options.writes) return
  begin('login failed')
  writeError(error)
  end(client)
}

/** An error that belongs to no statement, such as the end of the server. */
export function serverError(client: Client, error: ErrorResponse): void {
  if (!Options.writes) return
  begin('error')
  writeError(error)
  end(client)
}
