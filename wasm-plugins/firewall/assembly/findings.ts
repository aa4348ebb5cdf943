/** What becomes of a finding: a refusal, or a line in the log; and its count. */
import { Bytes } from '../../sdk/assembly/bytes'
import { CONTINUE, INFO, nowMs, WARN } from '../../sdk/assembly/host'
import { Metric } from '../../sdk/assembly/manifest'
import { LogRecord } from '../../sdk/assembly/records'
import { hashOf, Slice } from '../../sdk/assembly/slice'
import { normalise } from '../../sdk/assembly/sql/normal'
import { connectionFact } from '../../sdk/assembly/store'
import { Refusal } from '../../sdk/assembly/verdicts'
import { Response, Settings } from './configuration'

/** Lines of one second; what is more is counted. */
const LINES_MAX: i32 = 50
/** Bytes of a normal form that a line has. */
const SHOWN_BYTES_MAX: i32 = 1024

const refusal = new Refusal()
const record = new LogRecord()
const normal = new Bytes()
const digits = new Bytes()
let second: f64 = 0
let lines: i32 = 0

/** The metrics, which the manifest declares. */
export class Counts {
  static seen: Metric | null = null
  static denied: Metric | null = null
  static observed: Metric | null = null
  static learned: Metric | null = null
  static unwritten: Metric | null = null
}

/** A finding: which rule it is of, and what to say. */
export class Finding {
  static rule: string = ''
  static code: string = ''
  /** What the statement does, behind its kind: `is refused: …`. */
  static why: string = ''
  static hint: string = ''
  static shape: string = ''
}

export function find(rule: string, code: string, why: string, hint: string): void {
  Finding.rule = rule
  Finding.code = code
  Finding.why = why
  Finding.hint = hint
  Finding.shape = ''
}

/**
 * Carries out what is to be done about the present finding: counts it, tells it, and refuses where
 * that is asked for. `sql` is NONE where there is no text.
 */
export function settle(response: Response, kind: Slice, sql: Slice, standard: bool = true): i32 {
  if (response == Response.Off) return CONTINUE
  const isRefused = response == Response.Deny && !Settings.dryRun && !Settings.learns
  const count = isRefused ? Counts.denied! : Counts.observed!
  count.labelText(Finding.rule).add()
  tell(kind, sql, standard, isRefused)
  return isRefused ? refuse(kind) : CONTINUE
}

function refuse(kind: Slice): i32 {
  const message = refusal.begin(Finding.code).message
  message.add(kind).text(' is refused by the rule "').text(Finding.rule).text('" of the firewall')
  refusal.detail.text(Finding.why)
  refusal.hint.text(Finding.hint)
  return refusal.send()
}

function tell(kind: Slice, sql: Slice, standardStrings: bool, isRefused: bool): void {
  const now = Math.floor(nowMs() / 1000)
  if (now != second) {
    second = now
    lines = 0
  }
  if (++lines > LINES_MAX) return Counts.unwritten!.add()
  record.begin(isRefused ? 'statement refused' : 'statement would be refused')
  record.fieldText('rule', Finding.rule).fieldText('why', Finding.why).field('kind', kind)
  if (Finding.shape.length > 0) record.fieldText('shape', Finding.shape)
  if (sql != 0) {
    normalise(sql, normal.clear(), standardStrings)
    record.field('fingerprint', digits.clear().hex64(hashOf(normal.slice)).slice)
    normal.length = min(normal.length, SHOWN_BYTES_MAX)
    record.field('statement', normal.slice)
  }
  const user = connectionFact('user')
  if (user != 0) record.field('user', user)
  const database = connectionFact('database')
  if (database != 0) record.field('database', database)
  record.write(isRefused ? WARN : INFO)
}
