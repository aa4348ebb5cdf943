/**
 * Hands open descriptors from one process to another over a pair of sockets, the one way there is
 * for a process that runs already. What each of them is, is told by other means, in the same order.
 */
import { ptr } from 'bun:ffi'
import { closeSync } from 'node:fs'
import { GatewayError } from '../base/errors.ts'
import { systemCalls } from '../base/system-calls.ts'

// Numbers of the Linux kernel, the same on every processor that Bun runs on.
const F_SETFD = 2
const FD_CLOEXEC = 1
const AF_UNIX = 1
const SOCK_STREAM = 1
const SOCK_CLOEXEC = 0o2000000
const SOL_SOCKET = 1
const SCM_RIGHTS = 1
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000
const MSG_CMSG_CLOEXEC = 0x40000000
/** The kernel's `cmsghdr` with one descriptor behind it, and what that is rounded up to. */
const CONTROL_BYTES = 20
const CONTROL_SPACE = 24
const DESCRIPTOR_AT = 16
/** Where in a `msghdr` the length of its control part stands, in words. */
const LENGTH_AT = 5

/** Two ends: one is kept, the other given to a child at its start. */
export interface DescriptorPair {
  readonly near: number
  readonly far: number
}

/** Throws LISTEN_FAILED where the system has no such thing. */
export function descriptorPair(): DescriptorPair {
  const ends = new Int32Array(2)
  const made = systemCalls().socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ptr(ends))
  const [near, far] = ends
  if (made === 0 && near !== undefined && far !== undefined) return { near, far }
  throw new GatewayError('LISTEN_FAILED', 'the system gives no pair of sockets (open files?)')
}

/** Nobody whom this process starts shall have it. */
export function closeOnExec(channel: number): void {
  systemCalls().fcntl(channel, F_SETFD, FD_CLOEXEC)
}

export function closePair({ near, far }: DescriptorPair): void {
  closeSync(near)
  closeSync(far)
}

/** The sender keeps its own. Throws LISTEN_FAILED where the other end takes no more. */
export function sendDescriptor(channel: number, descriptor: number): void {
  const { header } = messageWith(descriptor)
  const sent = systemCalls().sendmsg(channel, ptr(header), MSG_DONTWAIT | MSG_NOSIGNAL)
  if (Number(sent) === 1) return
  throw new GatewayError('LISTEN_FAILED', 'a listening socket cannot be handed to a process')
}

/** The next one that was sent, as a descriptor of this process. Throws LISTEN_FAILED. */
export function receiveDescriptor(channel: number): number {
  const { header, control } = messageWith(-1)
  const received = systemCalls().recvmsg(channel, ptr(header), MSG_DONTWAIT | MSG_CMSG_CLOEXEC)
  const descriptor = control.getInt32(DESCRIPTOR_AT, true)
  if (Number(received) === 1 && descriptor >= 0) return descriptor
  throw new GatewayError('LISTEN_FAILED', 'a listening socket that was announced did not come')
}

type Message = ReturnType<typeof newMessage>
/** Kept, because the kernel is given addresses of its parts. */
let kept: Message | null = null

function messageWith(descriptor: number): Message {
  kept ??= newMessage()
  const { header, control } = kept
  header[LENGTH_AT] = BigInt(CONTROL_SPACE)
  control.setBigUint64(0, BigInt(CONTROL_BYTES), true)
  control.setInt32(8, SOL_SOCKET, true)
  control.setInt32(12, SCM_RIGHTS, true)
  control.setInt32(DESCRIPTOR_AT, descriptor, true)
  return kept
}

/** The kernel's `msghdr` for one byte and one descriptor, with all that it points to. */
function newMessage() {
  const byte = new Uint8Array([1])
  const vector = new BigUint64Array([BigInt(ptr(byte)), 1n])
  const control = new DataView(new ArrayBuffer(CONTROL_SPACE))
  const bytes = new Uint8Array(control.buffer)
  const header = new BigUint64Array([0n, 0n, BigInt(ptr(vector)), 1n, BigInt(ptr(bytes)), 0n, 0n])
  return { header, control, byte, vector, bytes }
}
