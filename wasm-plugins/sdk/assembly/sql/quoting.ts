/**
 * How a session's strings are to be read: standard_conforming_strings and client_encoding, as the
 * server tells of them in ParameterStatus. Give it every ParameterStatus of the session in
 * onTrafficFromServer (or onTrafficToClient), and `load` it before statements are read:
 *
 *     if (typeOf(ptr, len) == Backend.PARAMETER_STATUS) quoting.observe(ptr, len)
 *     …
 *     statements.open(query.sql, quoting.load().standardStrings)
 *
 * The server tells when it has run the SET. A client that sends a SET and the next statement in one
 * go is ahead of it: `isAmbiguous` of statements says where that could matter.
 */
import { isText, isTextIgnoringCase, Slice } from '../slice'
import { ParameterStatus } from '../postgres/backend'
import { sessionGetNumber, sessionSetNumber } from '../store'

const KEY = 'sdk.quoting'
const BACKSLASHES: i64 = 1
const UNSAFE: i64 = 2

const status = new ParameterStatus()

@final
export class Quoting {
  /** standard_conforming_strings; on, as by default, where nothing is known. */
  standardStrings: bool = true
  /**
   * True for SJIS, BIG5, GBK, UHC, JOHAB and GB18030, where the second byte of a letter may be a
   * backslash: then E'…' cannot be read for certain.
   */
  isUnsafe: bool = false

  /** Takes note of a ParameterStatus; false for any other message and any other setting. */
  observe(ptr: usize, length: i32): bool {
    if (!status.read(ptr, length)) return false
    if (isText(status.name, 'standard_conforming_strings')) {
      return this.keep(BACKSLASHES, isText(status.value, 'off'))
    }
    if (!isText(status.name, 'client_encoding')) return false
    return this.keep(UNSAFE, isUnsafeEncoding(status.value))
  }

  /** Gets what is known of the present session. */
  load(): this {
    const known = sessionGetNumber(KEY)
    this.standardStrings = (known & BACKSLASHES) == 0
    this.isUnsafe = (known & UNSAFE) != 0
    return this
  }

  private keep(bit: i64, isSet: bool): bool {
    const known = sessionGetNumber(KEY)
    const wanted = isSet ? known | bit : known & ~bit
    if (wanted != known) sessionSetNumber(KEY, wanted)
    this.load()
    return true
  }
}

function isUnsafeEncoding(name: Slice): bool {
  return (
    isTextIgnoringCase(name, 'SJIS') ||
    isTextIgnoringCase(name, 'SHIFT_JIS_2004') ||
    isTextIgnoringCase(name, 'BIG5') ||
    isTextIgnoringCase(name, 'GBK') ||
    isTextIgnoringCase(name, 'UHC') ||
    isTextIgnoringCase(name, 'JOHAB') ||
    isTextIgnoringCase(name, 'GB18030')
  )
}
