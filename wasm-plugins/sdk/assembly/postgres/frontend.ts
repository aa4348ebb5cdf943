/**
 * What clients send, read in place. Each `read` takes a message with its header and is false where
 * it is not of this type or not whole; slices point into the message and are good until the hook
 * returns. One object of each is enough: it is filled again by every `read`.
 */
import { Reader } from '../reader'
import { isText, lengthOf, NONE, ptrOf, Slice, slice } from '../slice'
import { bodyOf, Frontend, UNTYPED } from './messages'

/** StartupMessage, and SSLRequest, GSSENCRequest and CancelRequest, which are told by `code`. */
@final
export class StartupMessage {
  static readonly SSL_REQUEST: i32 = 80877103
  static readonly GSS_REQUEST: i32 = 80877104
  static readonly CANCEL_REQUEST: i32 = 80877102

  /** The protocol's version, major in the upper half: 196608 is 3.0; or one of the codes above. */
  code: i32 = 0
  private pairs: Slice = 0
  /** The parameter that `next` came to. */
  name: Slice = 0
  value: Slice = 0
  private reader: Reader = new Reader()

  read(ptr: usize, length: i32): bool {
    const body = bodyOf(UNTYPED, ptr, length)
    if (body == null) return false
    this.code = body.int32()
    this.pairs = body.rest()
    this.rewind()
    return true
  }

  get isStartup(): bool {
    return (this.code >>> 16) == 3
  }

  /** Before the first parameter again. */
  rewind(): void {
    this.reader.open(ptrOf(this.pairs), lengthOf(this.pairs))
  }

  /** Goes to the next parameter; false behind the last. */
  next(): bool {
    if (!this.isStartup) return false
    this.name = this.reader.cString()
    if (!this.reader.isSound || lengthOf(this.name) == 0) return false
    this.value = this.reader.cString()
    return this.reader.isSound
  }

  /** The value of a parameter, such as `user`, or NONE. The last one counts, as in the server. */
  parameter(name: string): Slice {
    let found = NONE
    this.rewind()
    while (this.next()) if (isText(this.name, name)) found = this.value
    return found
  }
}

/** Query: the simple protocol, any number of statements. */
@final
export class Query {
  sql: Slice = 0

  read(ptr: usize, length: i32): bool {
    const body = bodyOf(Frontend.QUERY, ptr, length)
    if (body == null) return false
    this.sql = body.cString()
    return body.isSound
  }
}

/** Parse: a statement with parameters gets a name, "" for the unnamed one. */
@final
export class Parse {
  name: Slice = 0
  sql: Slice = 0
  /** How many types of parameters are given. */
  types: i32 = 0
  private typesFrom: usize = 0

  read(ptr: usize, length: i32): bool {
    const body = bodyOf(Frontend.PARSE, ptr, length)
    if (body == null) return false
    this.name = body.cString()
    this.sql = body.cString()
    this.types = body.uint16()
    this.typesFrom = body.at
    body.run(this.types * 4)
    return body.isSound
  }

  /** The type of parameter `at`, from 0 on, as an object id; 0: the server finds out. */
  type(at: i32): u32 {
    if (<u32>at >= <u32>this.types) return 0
    return bswap<u32>(load<u32>(this.typesFrom + at * 4))
  }
}

/** Bind: a statement gets values for its parameters and becomes a portal. */
@final
export class Bind {
  portal: Slice = 0
  statement: Slice = 0
  /** How many values there are. */
  values: i32 = 0
  /** The value that `next` came to: NONE for NULL. */
  value: Slice = 0
  /** True where it is in the binary format of its type. */
  isBinary: bool = false
  /** How many formats of result columns are given: 0 all text, 1 for all, or one each. */
  resultFormats: i32 = 0
  private formats: i32 = 0
  private formatsFrom: usize = 0
  private valuesFrom: usize = 0
  private valuesTo: usize = 0
  private resultsFrom: usize = 0
  private number: i32 = 0
  private reader: Reader = new Reader()

  read(ptr: usize, length: i32): bool {
    const body = bodyOf(Frontend.BIND, ptr, length)
    if (body == null) return false
    this.portal = body.cString()
    this.statement = body.cString()
    this.formats = body.uint16()
    this.formatsFrom = body.at
    body.run(this.formats * 2)
    this.values = body.uint16()
    this.valuesFrom = body.at
    for (let left = this.values; left > 0 && body.isSound; left--) {
      const size = body.int32()
      if (size != -1) body.run(size)
    }
    this.valuesTo = body.at
    this.resultFormats = body.uint16()
    this.resultsFrom = body.at
    body.run(this.resultFormats * 2)
    this.rewind()
    return body.isSound
  }

  /** All values with their lengths as they stand in the message: equal bytes are equal values. */
  get encodedValues(): Slice {
    return slice(this.valuesFrom, <i32>(this.valuesTo - this.valuesFrom))
  }

  /** Before the first value again. */
  rewind(): void {
    this.number = 0
    this.reader.open(this.valuesFrom, <i32>(this.valuesTo - this.valuesFrom))
  }

  /** Goes to the next value; false behind the last. */
  next(): bool {
    if (this.number >= this.values) return false
    const size = this.reader.int32()
    this.value = size < 0 ? NONE : this.reader.run(size)
    this.isBinary = formatAt(this.formatsFrom, this.formats, this.number) == 1
    this.number++
    return this.reader.isSound
  }

  /** The format that column `at`, from 0 on, is wanted in: 0 text, 1 binary. */
  resultFormat(at: i32): i32 {
    return formatAt(this.resultsFrom, this.resultFormats, at)
  }
}

/** No format given: text for all; one: for all; else one each. */
function formatAt(from: usize, count: i32, at: i32): i32 {
  if (count == 0) return 0
  const place = count == 1 ? 0 : at
  return <u32>place < <u32>count ? bswap<u16>(load<u16>(from + place * 2)) : 0
}

/** Describe and Close, which name a statement or a portal. */
@final
export class Target {
  /** `S` for a statement, `P` for a portal. */
  kind: u8 = 0
  name: Slice = 0

  /** `type` is Frontend.DESCRIBE or Frontend.CLOSE. */
  read(type: u8, ptr: usize, length: i32): bool {
    const body = bodyOf(type, ptr, length)
    if (body == null) return false
    this.kind = body.byte()
    this.name = body.cString()
    return body.isSound
  }

  get isStatement(): bool {
    return this.kind == 0x53
  }
}

/** Execute: runs a portal. */
@final
export class Execute {
  portal: Slice = 0
  /** The most rows that are wanted now; 0: all. */
  rowsMax: i32 = 0

  read(ptr: usize, length: i32): bool {
    const body = bodyOf(Frontend.EXECUTE, ptr, length)
    if (body == null) return false
    this.portal = body.cString()
    this.rowsMax = body.int32()
    return body.isSound
  }
}

/** CopyFail: the client ends a COPY … FROM STDIN with an error. */
@final
export class CopyFail {
  reason: Slice = 0

  read(ptr: usize, length: i32): bool {
    const body = bodyOf(Frontend.COPY_FAIL, ptr, length)
    if (body == null) return false
    this.reason = body.cString()
    return body.isSound
  }
}

/** CopyData, of either side: a piece of a COPY, which need not be whole rows. */
@final
export class CopyData {
  bytes: Slice = 0

  read(ptr: usize, length: i32): bool {
    const body = bodyOf(Frontend.COPY_DATA, ptr, length)
    if (body == null) return false
    this.bytes = body.rest()
    return true
  }
}

/** FunctionCall, by which old clients call a function without SQL. */
@final
export class FunctionCall {
  /** The function as an object id. */
  oid: u32 = 0

  read(ptr: usize, length: i32): bool {
    const body = bodyOf(Frontend.FUNCTION_CALL, ptr, length)
    if (body == null) return false
    this.oid = <u32>body.int32()
    return body.isSound
  }
}
