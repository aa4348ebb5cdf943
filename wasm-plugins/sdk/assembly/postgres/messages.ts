/**
 * The messages of PostgreSQL's protocol 3 one after the other, as a hook is given them: one with
 * its header, or under `batch` and `reply` several. Source of all facts in this folder: PostgreSQL,
 * "Message Formats" (protocol-message-formats). Lengths count bytes; numbers are big-endian.
 */
import { Reader } from '../reader'
import { lengthOf, ptrOf, Slice, slice } from '../slice'

/** Stands for the type of messages that have none: StartupMessage, SSLRequest and their like. */
export const UNTYPED: u8 = 0

/** The types of messages from clients. */
export namespace Frontend {
  export const BIND: u8 = 0x42
  export const CLOSE: u8 = 0x43
  export const COPY_DATA: u8 = 0x64
  export const COPY_DONE: u8 = 0x63
  export const COPY_FAIL: u8 = 0x66
  export const DESCRIBE: u8 = 0x44
  export const EXECUTE: u8 = 0x45
  export const FLUSH: u8 = 0x48
  export const FUNCTION_CALL: u8 = 0x46
  export const PARSE: u8 = 0x50
  export const PASSWORD: u8 = 0x70
  export const QUERY: u8 = 0x51
  export const SYNC: u8 = 0x53
  export const TERMINATE: u8 = 0x58
}

/** The types of messages from servers. */
export namespace Backend {
  export const AUTHENTICATION: u8 = 0x52
  export const BACKEND_KEY_DATA: u8 = 0x4b
  export const BIND_COMPLETE: u8 = 0x32
  export const CLOSE_COMPLETE: u8 = 0x33
  export const COMMAND_COMPLETE: u8 = 0x43
  export const COPY_BOTH_RESPONSE: u8 = 0x57
  export const COPY_DATA: u8 = 0x64
  export const COPY_DONE: u8 = 0x63
  export const COPY_IN_RESPONSE: u8 = 0x47
  export const COPY_OUT_RESPONSE: u8 = 0x48
  export const DATA_ROW: u8 = 0x44
  export const EMPTY_QUERY_RESPONSE: u8 = 0x49
  export const ERROR_RESPONSE: u8 = 0x45
  export const FUNCTION_CALL_RESPONSE: u8 = 0x56
  export const NEGOTIATE_PROTOCOL_VERSION: u8 = 0x76
  export const NO_DATA: u8 = 0x6e
  export const NOTICE_RESPONSE: u8 = 0x4e
  export const NOTIFICATION_RESPONSE: u8 = 0x41
  export const PARAMETER_DESCRIPTION: u8 = 0x74
  export const PARAMETER_STATUS: u8 = 0x53
  export const PARSE_COMPLETE: u8 = 0x31
  export const PORTAL_SUSPENDED: u8 = 0x73
  export const READY_FOR_QUERY: u8 = 0x5a
  export const ROW_DESCRIPTION: u8 = 0x54
}

/** Walks over the whole messages of a hook's input. */
@final
export class Messages {
  /** The present message's type, UNTYPED for those without. */
  type: u8 = 0
  /** Where the present message begins, with its header, and its length with it. */
  ptr: usize = 0
  length: i32 = 0
  /** What stands behind its header. */
  body: Slice = 0
  private next_: usize = 0
  private end: usize = 0

  open(ptr: usize, length: i32): this {
    this.next_ = ptr
    this.end = ptr + max(length, 0)
    this.type = UNTYPED
    this.length = 0
    this.ptr = ptr
    this.body = slice(ptr, 0)
    return this
  }

  /** Goes to the next message; false at the end, and where the rest is no whole message. */
  next(): bool {
    const at = this.next_
    const left = <i32>(this.end - at)
    if (left < 5) return this.isUntyped(at, left)
    const type = load<u8>(at)
    // The first byte of an untyped message is the upper one of a length that is small.
    if (type == UNTYPED) return this.isUntyped(at, left)
    const length = bswap<u32>(load<u32>(at, 1))
    if (length < 4 || length > <u32>(left - 1)) return false
    return this.accept(type, at, <i32>length + 1, 5)
  }

  /** The present message with its header. */
  get whole(): Slice {
    return slice(this.ptr, this.length)
  }

  private isUntyped(at: usize, left: i32): bool {
    if (left < 8 || load<u8>(at) != UNTYPED) return false
    const length = bswap<u32>(load<u32>(at))
    if (length < 8 || length > <u32>left) return false
    return this.accept(UNTYPED, at, <i32>length, 4)
  }

  private accept(type: u8, at: usize, length: i32, header: i32): bool {
    this.type = type
    this.ptr = at
    this.length = length
    this.body = slice(at + header, length - header)
    this.next_ = at + length
    return true
  }
}

const one = new Messages()
const body = new Reader()

/** A reader at the body of the message at `ptr` if it is of this type, or null. For readers. */
export function bodyOf(type: u8, ptr: usize, length: i32): Reader | null {
  if (!one.open(ptr, length).next() || one.type != type) return null
  return body.open(ptrOf(one.body), lengthOf(one.body))
}

/** The type of the message at `ptr`; UNTYPED where it has none or there is no message. */
export function typeOf(ptr: usize, length: i32): u8 {
  return length > 0 ? load<u8>(ptr) : UNTYPED
}
