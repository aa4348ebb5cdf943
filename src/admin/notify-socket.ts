/**
 * The socket on which a service manager hears how its service is: one datagram a message, to the
 * Unix socket that NOTIFY_SOCKET names. Neither Bun nor Node has datagrams on Unix sockets, so
 * libc is called. A `systemd-notify` started for each message would need NotifyAccess=all, which
 * lets every plugin speak for the gateway, and a process for every beat of the watchdog.
 */
import { sentenceOf } from '../base/errors.ts'

/** Of Linux, on x64 and arm64. */
const AF_UNIX = 1
const SOCK_DGRAM = 2
const SOCK_CLOEXEC = 0o2000000
/** Nobody reads: an error and no signal; no room: an error and no wait, for the loop must turn. */
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000
const CLOCK_MONOTONIC = 1
/** What `sockaddr_un` holds, without the zero at the end of a path. */
const ADDRESS_BYTES_MAX = 107

export interface NotifySocket {
  /** False where the message was not taken: nobody listens, or there is no room now. */
  send(message: string): boolean
  /** Microseconds of the clock that the service manager compares with its own. */
  monotonicMicros(): bigint
  /** Idempotent. */
  close(): void
}

/** Throws with a sentence where `name` is of no kind that is known, or libc cannot be called. */
export async function openNotifySocket(name: string): Promise<NotifySocket> {
  const address = addressOf(name)
  const libc = await loadLibc()
  const socket = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
  if (socket < 0) throw new Error('no socket can be opened')
  let isOpen = true
  return {
    send(message) {
      if (!isOpen) return false
      const bytes = Buffer.from(message)
      const flags = MSG_DONTWAIT | MSG_NOSIGNAL
      const sent = libc.sendto(socket, bytes, bytes.length, flags, address, address.length)
      return Number(sent) === bytes.length
    },
    monotonicMicros() {
      const time = new BigInt64Array(2)
      libc.clock_gettime(CLOCK_MONOTONIC, time)
      const [seconds = 0n, nanoseconds = 0n] = time
      return seconds * 1_000_000n + nanoseconds / 1_000n
    },
    close() {
      if (isOpen) libc.close(socket)
      isOpen = false
    },
  }
}

/** A path, or `@` and a name that is no file: then a zero stands for the `@`. */
function addressOf(name: string): Buffer {
  if (!/^[/@]./.test(name)) throw new Error('neither a path nor @ and a name')
  const path = Buffer.from(name.startsWith('@') ? `\0${name.slice(1)}` : name)
  if (path.length > ADDRESS_BYTES_MAX) throw new Error(`longer than ${ADDRESS_BYTES_MAX} bytes`)
  const family = Buffer.alloc(2)
  new DataView(family.buffer, family.byteOffset).setUint16(0, AF_UNIX, true)
  // A path ends with a zero; of the other kind every byte counts.
  return Buffer.concat([family, path, Buffer.alloc(name.startsWith('@') ? 0 : 1)])
}

/** Loaded by whoever has such a socket only: others do not pay for it. */
async function loadLibc() {
  try {
    const { dlopen } = await import('bun:ffi')
    const { symbols } = dlopen('libc.so.6', {
      socket: { args: ['int', 'int', 'int'], returns: 'int' },
      sendto: { args: ['int', 'ptr', 'usize', 'int', 'ptr', 'u32'], returns: 'i64' },
      clock_gettime: { args: ['int', 'ptr'], returns: 'int' },
      close: { args: ['int'], returns: 'int' },
    })
    return symbols
  } catch (cause) {
    throw new Error(`libc cannot be called (${sentenceOf(cause)})`, { cause })
  }
}
