/**
 * How a session's strings are to be read: standard_conforming_strings and client_encoding, as the
 * server tells of them in ParameterStatus. Give it the session's StartupMessage and every
 * ParameterStatus (onTrafficFromServer or onTrafficToClient), and `load` it before statements are
 * read:
 *
 *     quoting.observe(ptr, len)
 *     …
 *     statements.open(query.sql, quoting.load().standardStrings)
 *
 * The server tells when it has run the SET. A client that sends a SET and the next statement in one
 * go is ahead of it: `isAmbiguous` of statements says where that could matter.
 */
import { ParameterStatus } from '../postgres/backend'
import { StartupMessage } from '../postgres/frontend'
import { isText, isTextIgnoringCase, lengthOf, lower, NONE, part, ptrOf, Slice } from '../slice'
import { sessionGetNumber, sessionSetNumber } from '../store'

const KEY = 'sdk.quoting'
const NAME = 'standard_conforming_strings'
const BACKSLASHES: i64 = 1
const UNSAFE: i64 = 2

const status = new ParameterStatus()
const startup = new StartupMessage()

@final
export class Quoting {
  /** standard_conforming_strings; on, as by default, where nothing is known. */
  standardStrings: bool = true
  /**
   * True for SJIS, BIG5, GBK, UHC, JOHAB and GB18030, where the second byte of a letter may be a
   * backslash: then E'…' cannot be read for certain.
   */
  isUnsafe: bool = false

  /**
   * Takes note of a ParameterStatus or a StartupMessage; false for any other message and any other
   * setting. The StartupMessage matters where the gateway answers logins itself.
   */
  observe(ptr: usize, length: i32): bool {
    if (startup.read(ptr, length)) return this.observeStartup()
    if (!status.read(ptr, length)) return false
    if (isText(status.name, NAME)) {
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

  private observeStartup(): bool {
    let isTaken = false
    while (startup.next()) {
      if (isTextIgnoringCase(startup.name, NAME)) {
        isTaken = this.keep(BACKSLASHES, isOff(startup.value))
      } else if (isTextIgnoringCase(startup.name, 'client_encoding')) {
        isTaken = this.keep(UNSAFE, isUnsafeEncoding(startup.value))
      } else if (isText(startup.name, 'options')) {
        const value = optionValue(startup.value)
        if (value != NONE) isTaken = this.keep(BACKSLASHES, isOff(value))
      }
    }
    return isTaken
  }

  private keep(bit: i64, isSet: bool): bool {
    const known = sessionGetNumber(KEY)
    const wanted = isSet ? known | bit : known & ~bit
    if (wanted != known) sessionSetNumber(KEY, wanted)
    this.load()
    return true
  }
}

/** What stands behind the last `standard_conforming_strings=` of `options`, or NONE. */
function optionValue(options: Slice): Slice {
  for (let at = lengthOf(options) - NAME.length - 1; at >= 0; at--) {
    const behind = at + NAME.length
    // `--` options may have dashes in the names of settings.
    if (load<u8>(ptrOf(options) + behind) != 0x3d || !isNameAt(ptrOf(options) + at)) continue
    return part(options, behind + 1)
  }
  return NONE
}

function isNameAt(ptr: usize): bool {
  for (let at = 0; at < NAME.length; at++) {
    const byte = load<u8>(ptr + at)
    const wanted = <u8>NAME.charCodeAt(at)
    if (lower(byte) != wanted && (byte != 0x2d || wanted != 0x5f)) return false
  }
  return true
}

/** True for what PostgreSQL takes for false, of which the first letters are enough. */
function isOff(value: Slice): bool {
  if (lengthOf(value) == 0) return false
  const first = lower(load<u8>(ptrOf(value)))
  if (first == 0x30 || first == 0x66 || first == 0x6e) return true
  return first == 0x6f && lengthOf(value) > 1 && lower(load<u8>(ptrOf(value), 1)) == 0x66
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
