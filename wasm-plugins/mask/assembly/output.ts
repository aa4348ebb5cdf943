/**
 * The bytes of a call on their way out: what is not touched stays where it lies, what keeps its
 * length is written over in place, and only from the first change of length on are they copied.
 */
import { Bytes, CONTINUE, REPLACE, replaceWith, slice } from '../../sdk/assembly/sdk'

const out = new Bytes()
let from: usize = 0
let end: usize = 0
/** Behind what is in `out` already. */
let copied: usize = 0
let isTouched: bool = false
let isMoved: bool = false
let message: usize = 0
/** Where the message being changed begins in `out`; -1: it is not changed. */
let messageOut: i32 = -1

/** Begins with the bytes of a call. */
export function beginOutput(ptr: usize, length: i32): void {
  from = ptr
  end = ptr + length
  copied = ptr
  isTouched = false
  isMoved = false
  messageOut = -1
  out.clear()
}

/** Bytes were written over in place. */
// @ts-ignore: decorator
@inline
export function touched(): void {
  isTouched = true
}

function copyUntil(ptr: usize): void {
  if (!isMoved) out.reserve(<i32>(end - from) + 1024)
  isMoved = true
  out.raw(copied, <i32>(ptr - copied))
  copied = ptr
}

export function beginMessage(ptr: usize): void {
  message = ptr
  messageOut = -1
}

/**
 * Another value takes the place of the one whose length stands at `at`; `length` and `newLength`
 * are -1 for NULL.
 */
export function putValue(at: usize, length: i32, ptr: usize, newLength: i32): void {
  if (newLength == length) {
    if (length > 0) memory.copy(at + 4, ptr, length)
    isTouched = true
    return
  }
  if (messageOut < 0) {
    copyUntil(message)
    messageOut = out.length
  }
  copyUntil(at)
  out.int32(newLength)
  if (newLength > 0) out.raw(ptr, newLength)
  copied = at + 4 + max(length, 0)
}

/** The message that `beginMessage` named ends here; its length is made true. */
export function endMessage(ptr: usize): void {
  if (messageOut < 0) return
  copyUntil(ptr)
  if (!out.isCut) {
    store<u32>(out.ptr + messageOut + 1, bswap<u32>(<u32>(out.length - messageOut - 1)))
  }
  messageOut = -1
}

/** Forgets what was put into the message that `beginMessage` named. */
export function cancelMessage(): void {
  if (messageOut < 0) return
  out.length = messageOut
  copied = message
  messageOut = -1
}

/** Leaves out what lies between, and puts other messages there. */
export function putInstead(ptr: usize, behind: usize, messages: Bytes | null): void {
  copyUntil(ptr)
  if (messages != null) out.raw(messages.ptr, messages.length)
  copied = behind
}

/** The verdict. */
export function endOutput(): i32 {
  if (isMoved) {
    copyUntil(end)
    if (out.isCut) return -1
    return replaceWith(out.slice)
  }
  if (!isTouched) return CONTINUE
  replaceWith(slice(from, <i32>(end - from)))
  return REPLACE
}
