/**
 * A WASI that denies everything but what a language's runtime cannot start without: time, random
 * bytes and empty arguments. Output becomes log lines at debug. No file, network or environment.
 */
import type { Belongings } from './belongings.ts'
import type { Host, HostFunction } from './host.ts'
import { CALL_BYTES_MAX, IOVECS_MAX } from './limits.ts'
import { encodeText } from './memory.ts'
import { Trap } from './trap.ts'

const SUCCESS = 0
const BAD_DESCRIPTOR = 8
const NOT_CAPABLE = 76
const STDOUT = 1
const STDERR = 2
const FILETYPE_CHARACTER_DEVICE = 2
const FDSTAT_BYTES = 24
const IOVEC_BYTES = 8
const SUBSCRIPTION_BYTES = 48
const EVENT_BYTES = 32
const CLOCK_REALTIME = 0
/** What `clock_res_get` tells: a microsecond. */
const CLOCK_RESOLUTION_NS = 1000n
const NS_PER_MS = 1_000_000

/** Everything of preview 1 that takes an open descriptor; there is none. */
const OF_DESCRIPTORS = [
  'fd_advise',
  'fd_allocate',
  'fd_close',
  'fd_datasync',
  'fd_fdstat_set_flags',
  'fd_fdstat_set_rights',
  'fd_filestat_get',
  'fd_filestat_set_size',
  'fd_filestat_set_times',
  'fd_pread',
  'fd_prestat_dir_name',
  'fd_prestat_get',
  'fd_pwrite',
  'fd_read',
  'fd_readdir',
  'fd_renumber',
  'fd_seek',
  'fd_sync',
  'fd_tell',
]
/** Everything of preview 1 that reaches for the world. */
const OF_THE_WORLD = [
  'path_create_directory',
  'path_filestat_get',
  'path_filestat_set_times',
  'path_link',
  'path_open',
  'path_readlink',
  'path_remove_directory',
  'path_rename',
  'path_symlink',
  'path_unlink_file',
  'proc_raise',
  'sock_accept',
  'sock_recv',
  'sock_send',
  'sock_shutdown',
]
const ANSWERED = [
  'args_get',
  'args_sizes_get',
  'clock_res_get',
  'clock_time_get',
  'environ_get',
  'environ_sizes_get',
  'fd_fdstat_get',
  'fd_write',
  'poll_oneoff',
  'proc_exit',
  'random_get',
  'sched_yield',
]

/** The functions that WASI preview 1 has. */
export const WASI_NAMES: ReadonlySet<string> = new Set([
  ...OF_DESCRIPTORS,
  ...OF_THE_WORLD,
  ...ANSWERED,
])

/** A view of a checked piece of guest memory, for numbers. */
function numbers(host: Host, pointer: number, length: number, what: string): DataView {
  const { buffer, byteOffset, byteLength } = host.memory.at(pointer, length, what)
  return new DataView(buffer, byteOffset, byteLength)
}

/** No arguments, no environment: no entries, no bytes. */
function writeNone(host: Host, counts: number, sizes: number, what: string): number {
  numbers(host, counts, 4, what).setUint32(0, 0, true)
  numbers(host, sizes, 4, what).setUint32(0, 0, true)
  return SUCCESS
}

function tooMuch(what: string, most: string): Trap {
  return new Trap('limit', `${what} was given over ${most}`, 'hostCallBytesMax')
}

/** Nothing is written, but a pointer that leads outside is a mistake all the same. */
function lookAtNone(host: Host, list: number, texts: number, what: string): number {
  host.memory.at(list, 0, what)
  host.memory.at(texts, 0, what)
  return SUCCESS
}

function writeLines(host: Host, pointer: number, count: number, written: number): number {
  if (count >>> 0 > IOVECS_MAX) throw tooMuch('fd_write', `${IOVECS_MAX} pieces`)
  const pieces = numbers(host, pointer, count * IOVEC_BYTES, 'fd_write')
  let text = ''
  let total = 0
  for (let at = 0; at < pieces.byteLength; at += IOVEC_BYTES) {
    const length = pieces.getUint32(at + 4, true)
    total += length
    if (total > CALL_BYTES_MAX) throw tooMuch('fd_write', `${CALL_BYTES_MAX} bytes`)
    text += host.memory.text(pieces.getUint32(at, true), length, 'fd_write')
  }
  if (text.trimEnd() !== '') {
    host.belongings.journal.write('debug', encodeText(text.trimEnd()))
  }
  numbers(host, written, 4, 'fd_write').setUint32(0, total, true)
  return SUCCESS
}

function timeNs(clock: number, { wall, now }: Belongings['clock']): bigint {
  if (clock === CLOCK_REALTIME) return BigInt(Math.trunc(wall())) * BigInt(NS_PER_MS)
  return BigInt(Math.round(now() * NS_PER_MS))
}

/** The module `wasi_snapshot_preview1` for one instance. */
export function wasiImports(host: Host): Readonly<Record<string, HostFunction>> {
  const denied: Record<string, HostFunction> = {}
  for (const name of OF_DESCRIPTORS) denied[name] = () => BAD_DESCRIPTOR
  for (const name of OF_THE_WORLD) denied[name] = () => NOT_CAPABLE
  return {
    ...denied,
    args_get: (_context, list, texts) => lookAtNone(host, list!, texts!, 'args_get'),
    args_sizes_get: (_context, counts, sizes) => writeNone(host, counts!, sizes!, 'args_sizes_get'),
    environ_get: (_context, list, texts) => lookAtNone(host, list!, texts!, 'environ_get'),
    environ_sizes_get: (_context, counts, sizes) =>
      writeNone(host, counts!, sizes!, 'environ_sizes_get'),
    clock_res_get: (_context, _clock, pointer) => {
      numbers(host, pointer!, 8, 'clock_res_get').setBigUint64(0, CLOCK_RESOLUTION_NS, true)
      return SUCCESS
    },
    clock_time_get: (_context, clock, _precision, pointer) => {
      numbers(host, pointer!, 8, 'clock_time_get').setBigUint64(
        0,
        timeNs(clock!, host.belongings.clock),
        true,
      )
      return SUCCESS
    },
    fd_fdstat_get: (_context, descriptor, pointer) => {
      if (descriptor! >>> 0 > STDERR) return BAD_DESCRIPTOR
      const stat = host.memory.at(pointer!, FDSTAT_BYTES, 'fd_fdstat_get').fill(0)
      stat[0] = FILETYPE_CHARACTER_DEVICE
      return SUCCESS
    },
    fd_write: (_context, descriptor, pointer, count, written) => {
      if (descriptor !== STDOUT && descriptor !== STDERR) return BAD_DESCRIPTOR
      return writeLines(host, pointer!, count!, written!)
    },
    // Sleeping is over at once: a hook must not wait, and its deadline ends a guest that insists.
    poll_oneoff: (_context, wanted, events, count, ready) => {
      if (count! >>> 0 > IOVECS_MAX) throw tooMuch('poll_oneoff', `${IOVECS_MAX} events`)
      host.memory.at(wanted!, count! * SUBSCRIPTION_BYTES, 'poll_oneoff')
      host.memory.at(events!, count! * EVENT_BYTES, 'poll_oneoff')
      numbers(host, ready!, 4, 'poll_oneoff').setUint32(0, count! >>> 0, true)
      return SUCCESS
    },
    proc_exit: (_context, code) => {
      throw new Trap('exit', `the plugin called exit(${code! >>> 0})`)
    },
    random_get: (_context, pointer, length) => {
      crypto.getRandomValues(host.memory.at(pointer!, length!, 'random_get'))
      return SUCCESS
    },
    sched_yield: () => SUCCESS,
  }
}
