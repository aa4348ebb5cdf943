/** Which statements a read-only gateway lets pass: those whose text changes nothing. */
import { Bytes } from '../../sdk/assembly/bytes'
import { isText, isTextIgnoringCase, Slice } from '../../sdk/assembly/slice'
import { appendOperand } from '../../sdk/assembly/sql/operand'
import { Purpose, purposeOf, Statements } from '../../sdk/assembly/sql/statements'
import { Word } from '../../sdk/assembly/sql/words'
import { Found } from './found'
import { HIDES, SERVER, WRITES } from './functions'

/** What a read-only gateway refuses about a statement; null: nothing. */
export function whyWriting(statements: Statements): string | null {
  if (Found.effects & (WRITES | SERVER)) return 'it calls a function that changes something'
  if (Found.effects & HIDES) return 'it calls a function that runs a text'
  if (Found.locks) return 'it locks rows'
  if (Found.changes) return 'it changes rows'
  switch (statements.purpose) {
    case Purpose.Reading:
      if (statements.kind == Word.Explain && !explainsReading(statements)) {
        return 'what it explains, and may run, changes something'
      }
      return statements.isReadOnly ? null : 'it changes something'
    case Purpose.Transacting:
      if (Found.readWrite) return 'it asks for a transaction that writes'
      return Found.prepared ? 'it is about a prepared transaction' : null
    case Purpose.Arranging:
      return null
    case Purpose.Running:
      // What it runs was a PREPARE, which was read when it came.
      return statements.kind == Word.Execute ? null : 'what it runs is not in its text'
    default:
      return 'it may change something'
  }
}

/** ANALYZE is hidden in quotes or written ANALYSE as well: so what is explained must only read. */
function explainsReading(statements: Statements): bool {
  const third = Found.third
  const isQuery = third == Word.Select || third == Word.With || third == Word.Values
  if (Found.isAnalyse && !isQuery) return false
  return statements.inner != Word.None && purposeOf(statements.inner) == Purpose.Reading
}

const operand = new Bytes()

/**
 * The same for SET, RESET and PREPARE, whose words must be read again: the pass over them forgets
 * what is known of the statement, so it comes last.
 */
export function whyArranging(statements: Statements, sql: Slice): string | null {
  const kind = statements.kind
  if (kind == Word.Prepare) {
    return statements.isReadOnly ? null : 'it prepares what changes something'
  }
  if (Found.readWrite) return 'it asks for transactions that write'
  if (kind != Word.Set) return null
  const isOn = Found.last == Word.On || Found.last == Word.True
    || isTextIgnoringCase(Found.lastText, "'on'") || isText(Found.lastText, '1')
  appendOperand(sql, operand.clear())
  const setting = operand.slice
  const isGuard = isText(setting, 'transaction_read_only')
    || isText(setting, 'default_transaction_read_only')
  return isGuard && !isOn ? 'it lets the session write' : null
}
