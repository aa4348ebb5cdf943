/**
 * The learn mode: for each normal form that is seen first, a line with the rule that allows it.
 * What has been told is kept, so that a busy gateway's log is no copy of its traffic.
 */
import { Bytes } from '../../sdk/assembly/bytes'
import { INFO, WARN } from '../../sdk/assembly/host'
import { Metric } from '../../sdk/assembly/manifest'
import { LogRecord } from '../../sdk/assembly/records'
import { hashOf, lengthOf, part, Slice } from '../../sdk/assembly/slice'
import { Subject } from './rules'

/** Forms that are told; the table has twice the room. */
const FORMS_MAX: i32 = 4096
const SLOTS: i32 = FORMS_MAX * 2
/** The longest form of a rule, as the schema has it. */
export const FORM_BYTES_MAX: i32 = 16384
/** Bytes of too long a form that are shown. */
const SHOWN_BYTES_MAX: i32 = 256

const known = new StaticArray<u64>(SLOTS)
let forms: i32 = 0

const record = new LogRecord()
const rule = new Bytes()
const digits = new Bytes()

/** False for one that was seen before, or where there is no room. */
function isNew(fingerprint: u64): bool {
  const key = fingerprint == 0 ? 1 : fingerprint
  let slot = <i32>(key % SLOTS)
  while (known[slot] != 0) {
    if (known[slot] == key) return false
    slot = (slot + 1) % SLOTS
  }
  if (forms > FORMS_MAX) return false
  forms++
  if (forms > FORMS_MAX) {
    record.begin('no more statements are learned').fieldInteger('learned', FORMS_MAX).write(WARN)
    return false
  }
  known[slot] = key
  return true
}

/** Takes the present subject, whose normal form is there. */
export function learn(kind: Slice, learned: Metric): void {
  const form = Subject.normal.slice
  if (!isNew(Subject.fingerprint)) return
  learned.add()
  digits.clear().hex64(hashOf(form))
  if (!Subject.isNormal || lengthOf(form) > FORM_BYTES_MAX) {
    record.begin('statement too long for a rule').field('kind', kind)
    record.field('fingerprint', digits.slice)
    record.field('statement', part(form, 0, SHOWN_BYTES_MAX)).write(INFO)
    return
  }
  // JSON strings are YAML strings too.
  rule.clear().text('- { name: learned-').add(digits.slice).text(', action: allow, statement: "')
  rule.json(Subject.normal.ptr, Subject.normal.length).text('" }')
  record.begin('learned').field('kind', kind).field('fingerprint', digits.slice)
  record.field('statement', form).field('rule', rule.slice).write(INFO)
}
