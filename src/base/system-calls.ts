/** The calls of the operating system that Bun has no function for, by way of the C library. */
import { dlopen, FFIType } from 'bun:ffi'
import { sentenceOf } from './errors.ts'

/** One of them is there: that of most systems, or that of small images. */
const LIBRARIES = ['libc.so.6', 'libc.musl-x86_64.so.1', 'libc.musl-aarch64.so.1']

type Library = ReturnType<typeof open>
export type SystemCalls = Library['symbols']
let opened: Library | null = null

/** Throws an Error that says why they cannot be called on this system. */
export function systemCalls(): SystemCalls {
  opened ??= openFirst()
  return opened.symbols
}

function openFirst(): Library {
  if (process.platform !== 'linux') throw new Error(`${process.platform} is not Linux`)
  const failures: string[] = []
  for (const name of LIBRARIES) {
    try {
      return open(name)
    } catch (thrown) {
      failures.push(sentenceOf(thrown))
    }
  }
  throw new Error(`the C library cannot be called: ${failures[0]}`)
}

function open(name: string) {
  const { i32, i64, ptr: pointer, u64 } = FFIType
  return dlopen(name, {
    dup3: { args: [i32, i32, i32], returns: i32 },
    fcntl: { args: [i32, i32, i32], returns: i32 },
    epoll_ctl: { args: [i32, i32, i32, pointer], returns: i32 },
    getsockopt: { args: [i32, i32, i32, pointer, pointer], returns: i32 },
    poll: { args: [pointer, u64, i32], returns: i32 },
    socketpair: { args: [i32, i32, i32, pointer], returns: i32 },
    sendmsg: { args: [i32, pointer, i32], returns: i64 },
    recvmsg: { args: [i32, pointer, i32], returns: i64 },
    prctl: { args: [i32, u64, u64, u64, u64], returns: i32 },
    getppid: { args: [], returns: i32 },
  })
}
