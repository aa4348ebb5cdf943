/**
 * What servers send, read in place. Each `read` takes a message with its header and is false where
 * it is not of this type or not whole; slices point into the message and are good until the hook
 * returns. One object of each is enough: it is filled again by every `read`.
 */
import { Reader } from '../reader'
import { integerOf, lengthOf, NONE, part, ptrOf, Slice, slice } from '../slice'
import { Backend, bodyOf } from './messages'

/** RowDescription: the columns of the rows to come. */
@final
export class RowDescription {
  columns: i32 = 0
  /** The column that `next` came to, from here on. */
  name: Slice = 0
  /** The table it is of as an object id, and its number there; 0: it is computed. */
  table: u32 = 0
  attribute: i32 = 0
  /** Its type as an object id, the type's size (negative: it varies) and modifier (-1: none). */
  type: u32 = 0
  typeSize: i32 = 0
  modifier: i32 = 0
  /** 0 text, 1 binary. In the answer to Describe of a statement it is not known yet, and 0. */
  format: i32 = 0
  private number: i32 = 0
  private fields: Slice = 0
  private reader: Reader = new Reader()

  read(ptr: usize, length: i32): bool {
    const body = bodyOf(Backend.ROW_DESCRIPTION, ptr, length)
    if (body == null) return false
    this.columns = body.uint16()
    this.fields = slice(body.at, body.left)
    for (let left = this.columns; left > 0 && body.isSound; left--) {
      body.cString()
      body.run(18)
    }
    this.rewind()
    return body.isSound
  }

  rewind(): void {
    this.number = 0
    this.reader.open(ptrOf(this.fields), lengthOf(this.fields))
  }

  /** Goes to the next column; false behind the last. */
  next(): bool {
    if (this.number >= this.columns) return false
    const reader = this.reader
    this.name = reader.cString()
    this.table = <u32>reader.int32()
    this.attribute = reader.int16()
    this.type = <u32>reader.int32()
    this.typeSize = reader.int16()
    this.modifier = reader.int32()
    this.format = reader.int16()
    this.number++
    return reader.isSound
  }
}

/** DataRow: one row. */
@final
export class DataRow {
  columns: i32 = 0
  /** The value that `next` came to: NONE for NULL. */
  value: Slice = 0
  private number: i32 = 0
  private fields: Slice = 0
  private reader: Reader = new Reader()

  read(ptr: usize, length: i32): bool {
    const body = bodyOf(Backend.DATA_ROW, ptr, length)
    if (body == null) return false
    this.columns = body.uint16()
    this.fields = slice(body.at, body.left)
    for (let left = this.columns; left > 0 && body.isSound; left--) {
      const size = body.int32()
      if (size != -1) body.run(size)
    }
    this.rewind()
    return body.isSound
  }

  rewind(): void {
    this.number = 0
    this.reader.open(ptrOf(this.fields), lengthOf(this.fields))
  }

  /** Goes to the next value; false behind the last. */
  next(): bool {
    if (this.number >= this.columns) return false
    const size = this.reader.int32()
    this.value = size < 0 ? NONE : this.reader.run(size)
    this.number++
    return this.reader.isSound
  }
}

/** CommandComplete: a statement is done. */
@final
export class CommandComplete {
  /** Such as `INSERT 0 5`. */
  tag: Slice = 0
  /** Its first word. */
  verb: Slice = 0
  /** How many rows were read or written; -1 where the tag says nothing of rows. */
  rows: i64 = -1

  read(ptr: usize, length: i32): bool {
    const body = bodyOf(Backend.COMMAND_COMPLETE, ptr, length)
    if (body == null) return false
    const tag = body.cString()
    if (!body.isSound) return false
    const from = ptrOf(tag)
    const size = lengthOf(tag)
    let first = 0
    while (first < size && load<u8>(from + first) != 0x20) first++
    let last = size
    while (last > first && load<u8>(from + last - 1) != 0x20) last--
    this.tag = tag
    this.verb = part(tag, 0, first)
    // Of INSERT the last number counts; the one before it is an object id from old times.
    this.rows = last > first ? integerOf(part(tag, last), -1) : -1
    return true
  }
}

/** ErrorResponse and NoticeResponse: fields, each with a letter. */
@final
export class ErrorResponse {
  private fields: Slice = 0
  private reader: Reader = new Reader()
  /** The field that `next` came to. */
  letter: u8 = 0
  value: Slice = 0

  /** `type` is Backend.ERROR_RESPONSE or Backend.NOTICE_RESPONSE. */
  read(ptr: usize, length: i32, type: u8 = Backend.ERROR_RESPONSE): bool {
    const body = bodyOf(type, ptr, length)
    if (body == null) return false
    this.fields = body.rest()
    this.rewind()
    return true
  }

  rewind(): void {
    this.reader.open(ptrOf(this.fields), lengthOf(this.fields))
  }

  /** Goes to the next field; false behind the last. */
  next(): bool {
    if (this.reader.left == 0) return false
    this.letter = this.reader.byte()
    if (this.letter == 0) return false
    this.value = this.reader.cString()
    return this.reader.isSound
  }

  /** The field of a letter, or NONE. */
  field(letter: u8): Slice {
    this.rewind()
    while (this.next()) if (this.letter == letter) return this.value
    return NONE
  }

  /** ERROR, FATAL, PANIC, WARNING, … in English whatever the server speaks. */
  get severity(): Slice {
    const severity = this.field(0x56)
    return severity == NONE ? this.field(0x53) : severity
  }

  /** The SQLSTATE, five letters and digits. */
  get code(): Slice {
    return this.field(0x43)
  }

  get message(): Slice {
    return this.field(0x4d)
  }

  get detail(): Slice {
    return this.field(0x44)
  }

  get hint(): Slice {
    return this.field(0x48)
  }
}

/** ReadyForQuery: the server waits for the next command. */
@final
export class ReadyForQuery {
  static readonly IDLE: u8 = 0x49
  static readonly IN_TRANSACTION: u8 = 0x54
  static readonly FAILED: u8 = 0x45

  status: u8 = 0

  read(ptr: usize, length: i32): bool {
    const body = bodyOf(Backend.READY_FOR_QUERY, ptr, length)
    if (body == null) return false
    this.status = body.byte()
    return body.isSound
  }
}

/** ParameterStatus: a setting that clients should know, at the login and whenever it changes. */
@final
export class ParameterStatus {
  name: Slice = 0
  value: Slice = 0

  read(ptr: usize, length: i32): bool {
    const body = bodyOf(Backend.PARAMETER_STATUS, ptr, length)
    if (body == null) return false
    this.name = body.cString()
    this.value = body.cString()
    return body.isSound
  }
}

/** ParameterDescription: the types of a statement's parameters. */
@final
export class ParameterDescription {
  parameters: i32 = 0
  private from: usize = 0

  read(ptr: usize, length: i32): bool {
    const body = bodyOf(Backend.PARAMETER_DESCRIPTION, ptr, length)
    if (body == null) return false
    this.parameters = body.uint16()
    this.from = body.at
    body.run(this.parameters * 4)
    return body.isSound
  }

  /** The type of parameter `at`, from 0 on, as an object id. */
  type(at: i32): u32 {
    if (<u32>at >= <u32>this.parameters) return 0
    return bswap<u32>(load<u32>(this.from + at * 4))
  }
}

/** NotificationResponse: what NOTIFY has sent. */
@final
export class NotificationResponse {
  pid: i32 = 0
  channel: Slice = 0
  payload: Slice = 0

  read(ptr: usize, length: i32): bool {
    const body = bodyOf(Backend.NOTIFICATION_RESPONSE, ptr, length)
    if (body == null) return false
    this.pid = body.int32()
    this.channel = body.cString()
    this.payload = body.cString()
    return body.isSound
  }
}

/** Authentication: what the server asks of the client, 0 where it is let in. */
@final
export class Authentication {
  static readonly OK: i32 = 0

  code: i32 = 0

  read(ptr: usize, length: i32): bool {
    const body = bodyOf(Backend.AUTHENTICATION, ptr, length)
    if (body == null) return false
    this.code = body.int32()
    return body.isSound
  }
}
