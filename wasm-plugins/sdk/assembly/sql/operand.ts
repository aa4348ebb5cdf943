/**
 * What a short command is about: the setting of SET, RESET and SHOW, the statement of PREPARE,
 * EXECUTE and DEALLOCATE, the cursor of FETCH and CLOSE, the procedure of CALL, the channel of
 * LISTEN and NOTIFY, the savepoint.
 */
import { Bytes } from '../bytes'
import { isName, lastName, readName } from './names'
import { lengthOf, ptrOf, Slice } from '../slice'
import { next, open, token, Token, word } from './tokens'
import { Word } from './words'

/**
 * Appends the name behind the verb of one statement, in the form of table names. SET and RESET are
 * told by the setting that they change, whatever words stand for it: `role`, `timezone`,
 * `session_authorization`, `transaction`; RESET ALL and DISCARD ALL by `all`.
 */
export function appendOperand(sql: Slice, into: Bytes): void {
  open(ptrOf(sql), lengthOf(sql))
  next()
  const verb = word
  next()
  if (verb == Word.Set || verb == Word.Reset) return appendSetting(into)
  while (isFiller()) next()
  if (!isName()) return
  readName()
  into.add(lastName())
}

function appendSetting(into: Bytes): void {
  let isSession = false
  if (word == Word.Session || word == Word.Local) {
    isSession = word == Word.Session
    next()
  }
  if (word == Word.Time) {
    into.text('timezone')
    return
  }
  if (isSession && word == Word.Authorization) {
    into.text('session_authorization')
    return
  }
  if (isSession && word == Word.Characteristics) {
    into.text('transaction')
    return
  }
  if (!isName()) return
  // Settings are found in any case, in quotes too.
  readName()
  const begins = into.length
  into.add(lastName())
  unquoteSetting(into, begins)
}

/** Folds a setting in quotes, for their names know no case. */
function unquoteSetting(into: Bytes, begins: i32): void {
  let to = begins
  for (let at = begins; at < into.length; at++) {
    const byte = load<u8>(into.ptr + at)
    if (byte == 0x22) continue
    const isUpper = byte >= 0x41 && byte <= 0x5a
    store<u8>(into.ptr + to++, isUpper ? byte | 0x20 : byte)
  }
  into.length = to
}

/** Words between the verb and the name. */
function isFiller(): bool {
  if (token != Token.Word) return false
  return word == Word.Prepare || word == Word.Prepared || word == Word.Savepoint
    || word == Word.To || word == Word.Transaction || word == Word.From || word == Word.In
}
