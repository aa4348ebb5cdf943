import { describe, expect, test } from 'bun:test'
import { Outlet, type WritableSocket } from '../../src/tcp/outlet.ts'

/** A socket that takes so many bytes now, and all bytes that it took. */
interface Kernel extends WritableSocket {
  room: number
  readonly taken: number[]
  writes: number
}

function kernel(room: number): Kernel {
  return {
    room,
    taken: [],
    writes: 0,
    write(bytes) {
      this.writes += 1
      if (this.room < 0) return -1
      const written = Math.min(this.room, bytes.length)
      this.taken.push(...bytes.subarray(0, written))
      this.room -= written
      return written
    },
  }
}

const bytesOf = (...values: readonly number[]): Uint8Array => new Uint8Array(values)

describe('writing', () => {
  test('goes to the socket at once, as long as it takes all', () => {
    const socket = kernel(10)
    const outlet = new Outlet(socket)
    expect(outlet.write(bytesOf(1, 2, 3))).toBe(true)
    expect(outlet.full).toBe(false)
    expect(socket.taken).toEqual([1, 2, 3])
  })

  test('keeps what the socket does not take, and what comes behind it, in order', () => {
    const socket = kernel(2)
    const outlet = new Outlet(socket)
    const borrowed = bytesOf(1, 2, 3)
    expect(outlet.write(borrowed)).toBe(false)
    borrowed.fill(9)
    expect(outlet.write(bytesOf(4, 5))).toBe(false)
    expect(outlet.full).toBe(true)
    expect(outlet.kept).toBe(3)
    socket.room = 2
    expect(outlet.drained()).toBe(false)
    expect(outlet.write(bytesOf(6))).toBe(false)
    socket.room = 9
    expect(outlet.drained()).toBe(true)
    expect(outlet.full).toBe(false)
    expect(socket.taken).toEqual([1, 2, 3, 4, 5, 6])
  })

  test('keeps everything of any size in order, however little the socket takes', () => {
    const socket = kernel(0)
    const outlet = new Outlet(socket)
    const expected: number[] = []
    for (let round = 0; round < 400; round++) {
      const chunk = new Uint8Array((round * 37) % 900).map((_, at) => (round + at) % 256)
      expected.push(...chunk)
      outlet.write(chunk)
      socket.room = (round * 53) % 700
      outlet.drained()
    }
    while (!outlet.drained()) socket.room = 1000
    expect(Buffer.compare(Buffer.from(socket.taken), Buffer.from(expected))).toBe(0)
  })

  test('of large chunks gives no byte of one outlet to another, though rooms are shared', () => {
    const sockets = Array.from({ length: 6 }, () => kernel(0))
    const outlets = sockets.map((socket) => new Outlet(socket))
    for (let round = 0; round < 3; round++) {
      for (const [at, outlet] of outlets.entries()) {
        outlet.write(new Uint8Array(200_000).fill(at * 10 + round))
      }
      for (const [at, outlet] of outlets.entries()) {
        sockets[at]!.room = 1_000_000
        expect(outlet.drained()).toBe(true)
        sockets[at]!.room = 0
      }
    }
    for (const [at, { taken }] of sockets.entries()) {
      expect(taken).toHaveLength(600_000)
      expect(taken.every((byte, place) => byte === at * 10 + Math.floor(place / 200_000))).toBe(
        true,
      )
    }
  })

  test('before there is a connection waits for it', () => {
    const outlet = new Outlet(null)
    expect(outlet.write(bytesOf(1))).toBe(true)
    expect(outlet.drained()).toBe(false)
    const socket = kernel(1)
    outlet.write(bytesOf(2))
    expect(outlet.attach(socket)).toBe(false)
    socket.room = 5
    expect(outlet.drained()).toBe(true)
    expect(socket.taken).toEqual([1, 2])
  })

  test('before there is a connection asks for one, once, and pauses whoever sends much', () => {
    const outlet = new Outlet(null)
    let asked = 0
    outlet.await(() => asked++)
    expect([outlet.write(new Uint8Array(16_384)), asked]).toEqual([true, 1])
    expect([outlet.write(bytesOf(1)), asked]).toEqual([false, 1])
  })

  test('to a socket that has closed is lost, and pauses nobody', () => {
    const socket = kernel(-1)
    const outlet = new Outlet(socket)
    expect(outlet.write(bytesOf(1))).toBe(true)
    expect(outlet.write(bytesOf(2))).toBe(true)
    expect(socket.writes).toBe(1)
  })

  test('of what was kept for a socket that has closed is lost too', () => {
    const socket = kernel(0)
    const outlet = new Outlet(socket)
    outlet.write(bytesOf(1))
    socket.room = -1
    expect(outlet.drained()).toBe(true)
    expect(outlet.full).toBe(false)
    outlet.write(bytesOf(2))
    outlet.abandon()
    expect(outlet.full).toBe(false)
  })
})

describe('finishing', () => {
  test('is done at once where nothing is kept, and once each time that it is asked for', () => {
    const outlet = new Outlet(kernel(9))
    const finished: string[] = []
    outlet.finish(() => finished.push('shut down'))
    outlet.drained()
    expect(finished).toEqual(['shut down'])
    outlet.finish(() => finished.push('closed'))
    outlet.drained()
    expect(finished).toEqual(['shut down', 'closed'])
  })

  test('in another way takes the place of one that still waits', () => {
    const socket = kernel(0)
    const outlet = new Outlet(socket)
    outlet.write(bytesOf(1))
    const finished: string[] = []
    outlet.finish(() => finished.push('shut down'))
    outlet.finish(() => finished.push('closed'))
    socket.room = 9
    outlet.drained()
    expect(finished).toEqual(['closed'])
  })

  test('waits for what is kept, and takes nothing more', () => {
    const socket = kernel(0)
    const outlet = new Outlet(socket)
    outlet.write(bytesOf(1, 2))
    let finished = 0
    outlet.finish(() => finished++)
    expect(outlet.write(bytesOf(3))).toBe(true)
    socket.room = 1
    expect(outlet.drained()).toBe(false)
    expect(finished).toBe(0)
    socket.room = 9
    expect(outlet.drained()).toBe(true)
    expect([finished, socket.taken]).toEqual([1, [1, 2]])
  })

  test('before there is a connection waits for it, so that nothing kept is lost', () => {
    for (const kept of [bytesOf(), bytesOf(1)]) {
      const outlet = new Outlet(null)
      if (kept.length > 0) outlet.write(kept)
      let finished = 0
      outlet.finish(() => finished++)
      expect(finished).toBe(0)
      const socket = kernel(9)
      outlet.attach(socket)
      expect(finished).toBe(1)
      expect(socket.taken).toEqual([...kept])
    }
  })

  test('never comes for a socket that has closed', () => {
    const outlet = new Outlet(kernel(0))
    outlet.write(bytesOf(1))
    let finished = 0
    outlet.finish(() => finished++)
    outlet.abandon()
    outlet.drained()
    expect(finished).toBe(0)
  })
})
