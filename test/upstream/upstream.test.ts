import { afterAll, beforeAll, describe, expect, jest, spyOn, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Socket, SocketHandler } from 'bun'
import type { Address } from '../../src/base/address.ts'
import {
  type Dialled,
  type Probing,
  Upstream,
  type UpstreamOptions,
} from '../../src/upstream/upstream.ts'
import { freePort } from '../kit/free-port.ts'

const handlers: SocketHandler<null> = { data: () => {}, connectError: () => {} }
const always = (): boolean => true

function upstreamOn(address: Address, options: Partial<UpstreamOptions> = {}): Upstream {
  return new Upstream({
    group: 'default',
    block: 'writes',
    address,
    dialTimeoutMs: 5000,
    retries: 0,
    backoffMs: 1000,
    backoffMultiplier: 2,
    disableBackoffCaps: false,
    tcpKeepAliveMs: null,
    ...options,
  })
}

const tcp = (port: number): Address => ({ network: 'tcp', host: '127.0.0.1', port })

/** Dials with a clock that needs no time; gives also how long it would have waited. */
async function dialFast(upstream: Upstream, wanted = always) {
  const waits: number[] = []
  const sleep = spyOn(Bun, 'sleep').mockImplementation(async (ms) => void waits.push(Number(ms)))
  try {
    return { dialled: await upstream.dial(handlers, null, wanted), waits }
  } finally {
    sleep.mockRestore()
  }
}

function socketOf(dialled: Dialled<null>): Socket<null> {
  if (dialled.kind === 'failed') throw new Error(dialled.cause)
  return dialled.socket
}

/** Which timer of the kernel a connection waits for, by proc_pid_net(5): "tcp", field "tr". */
const NO_TIMER = '00'
const KEEP_ALIVE = '02'
const ESTABLISHED = '01'

function timerOf({ localPort, remotePort }: Socket<null>): string | undefined {
  const [here, there] = [localPort, remotePort].map(
    (port) => `:${port.toString(16).toUpperCase().padStart(4, '0')}`,
  )
  const lines = readFileSync('/proc/net/tcp', 'utf8').split('\n')
  const found = lines
    .map((line) => line.trim().split(/\s+/))
    .find(([, local, remote, state]) => {
      // Others may have had that port before, and their ends are listed for a while.
      return local?.endsWith(here!) && remote?.endsWith(there!) && state === ESTABLISHED
    })
  return found?.[5]?.slice(0, 2)
}

let folder = ''
let dead = 0
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'postern-upstream-'))
  dead = await freePort()
})
afterAll(() => rmSync(folder, { recursive: true }))

describe('a dial', () => {
  test('connects over TCP and over a Unix socket, and both ways may be closed alone', async () => {
    const path = join(folder, 'db.sock')
    const socket = {
      data: () => {},
      end: (client: Socket<undefined>) => void client.end('still here'),
    }
    using overTcp = Bun.listen({ hostname: '127.0.0.1', port: 0, allowHalfOpen: true, socket })
    using overUnix = Bun.listen({ unix: path, allowHalfOpen: true, socket })
    expect(overUnix.unix).toBe(path)
    for (const address of [tcp(overTcp.port), { network: 'unix', path } as const]) {
      const upstream = upstreamOn(address)
      expect(upstream.reachable).toBeNull()
      const { promise, resolve } = Promise.withResolvers<string>()
      const reading: SocketHandler<null> = { data: (_socket, chunk) => resolve(`${chunk}`) }
      socketOf(await upstream.dial(reading, null, always)).shutdown()
      expect(await promise).toBe('still here')
      expect(upstream).toMatchObject({ reachable: true, failures: 0 })
    }
  })

  test('has an idle connection probed by the system where that is wished, else not', async () => {
    using listener = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data: () => {} } })
    for (const [tcpKeepAliveMs, timer] of [
      [30_000, KEEP_ALIVE],
      [null, NO_TIMER],
    ] as const) {
      const upstream = upstreamOn(tcp(listener.port), { tcpKeepAliveMs })
      const socket = socketOf(await upstream.dial(handlers, null, always))
      expect(timerOf(socket)).toBe(timer)
      socket.terminate()
    }
  })

  test('of a port where nobody listens fails with its cause, and is remembered', async () => {
    const upstream = upstreamOn(tcp(dead))
    const dialled = await upstream.dial(handlers, null, always)
    expect(dialled).toEqual({ kind: 'failed', cause: 'ECONNREFUSED' })
    expect(upstream).toMatchObject({ reachable: false, lastError: 'ECONNREFUSED', failures: 1 })
  })

  test('of a path or a name that cannot be is a failure and not an exception', async () => {
    const missing = upstreamOn({ network: 'unix', path: join(folder, 'missing.sock') })
    expect(await missing.dial(handlers, null, always)).toEqual({ kind: 'failed', cause: 'ENOENT' })
    const places: readonly Address[] = [
      { network: 'unix', path: `/${'x'.repeat(300)}` },
      { network: 'tcp', host: 'no-such-name.invalid', port: 5432 },
      { network: 'tcp', host: '127.0.0.1', port: 0 },
    ]
    for (const address of places) {
      const dialled = await upstreamOn(address).dial(handlers, null, always)
      expect(dialled).toMatchObject({ kind: 'failed', cause: expect.stringMatching(/./) })
    }
  })

  test('gives up after dialTimeout, and a connection made after all is dropped', async () => {
    const late = Promise.withResolvers<Socket<null>>()
    const connect = spyOn(Bun, 'connect').mockImplementation((() => late.promise) as never)
    try {
      const upstream = upstreamOn(tcp(dead), { dialTimeoutMs: 1 })
      expect(await upstream.dial(handlers, null, always)).toEqual({
        kind: 'failed',
        cause: 'no connection within 1 ms',
      })
    } finally {
      connect.mockRestore()
    }
    const dropped = Promise.withResolvers<void>()
    late.resolve({ terminate: dropped.resolve } as never)
    await dropped.promise
  })
})

describe('attempts', () => {
  test('are made as often as configured, waiting longer each time', async () => {
    const upstream = upstreamOn(tcp(dead), { retries: 3, backoffMs: 100, backoffMultiplier: 2 })
    const { dialled, waits } = await dialFast(upstream)
    expect(dialled.kind).toBe('failed')
    expect(waits).toEqual([100, 200, 400])
    expect(upstream.failures).toBe(4)
  })

  test('wait a minute at most, and grow tenfold at most, unless the caps are off', async () => {
    const greedy = { retries: 3, backoffMs: 1000, backoffMultiplier: 100 }
    const capped = await dialFast(upstreamOn(tcp(dead), greedy))
    expect(capped.waits).toEqual([1000, 10_000, 60_000])
    const free = await dialFast(upstreamOn(tcp(dead), { ...greedy, disableBackoffCaps: true }))
    expect(free.waits).toEqual([1000, 100_000, 10_000_000])
  })

  test('end early when nobody wants the connection any more', async () => {
    const upstream = upstreamOn(tcp(dead), { retries: 9 })
    const { dialled, waits } = await dialFast(upstream, () => upstream.failures < 2)
    expect(dialled.kind).toBe('failed')
    expect(waits).toHaveLength(1)
    expect(upstream.failures).toBe(2)
  })

  test('end early when another upstream is ready, before a wait or after it', async () => {
    for (const waited of [0, 1]) {
      const upstream = upstreamOn(tcp(dead), { retries: 9 })
      let asked = 0
      const elsewhere = (): boolean => ++asked > waited
      const sleep = spyOn(Bun, 'sleep').mockImplementation(async () => {})
      const dialled = await upstream.dial(handlers, null, always, elsewhere)
      expect(dialled.kind).toBe('failed')
      expect(sleep).toHaveBeenCalledTimes(waited)
      sleep.mockRestore()
      expect(upstream.failures).toBe(1)
      expect(upstream.health.state).toBe('suspected')
    }
  })

  test('make an upstream suspected, and out when they are used up', async () => {
    const upstream = upstreamOn(tcp(dead), { retries: 1 })
    await upstream.dial(handlers, null, () => false)
    expect(upstream.health.state).toBe('suspected')
    await dialFast(upstream)
    expect(upstream.health.state).toBe('out')
  })

  test('end with the first that succeeds', async () => {
    const listening: { stop(force: boolean): void }[] = []
    const port = await freePort()
    const upstream = upstreamOn(tcp(port), { retries: 9 })
    const wanted = (): boolean => {
      if (listening.length === 0)
        listening.push(Bun.listen({ hostname: '127.0.0.1', port, socket: { data: () => {} } }))
      return true
    }
    const { dialled } = await dialFast(upstream, wanted)
    socketOf(dialled).terminate()
    expect(upstream).toMatchObject({ reachable: true, failures: 1 })
    for (const each of listening) each.stop(true)
  })
})

test('an upstream is named as the configuration names it', () => {
  const upstream = upstreamOn(tcp(5432), { block: 'reads', tcpKeepAliveMs: 30_000 })
  expect(upstream).toMatchObject({
    group: 'default',
    block: 'reads',
    address: '127.0.0.1:5432',
    keepAliveMs: 30_000,
  })
})

describe('a watched upstream', () => {
  const listen = (port: number) =>
    Bun.listen({
      hostname: '127.0.0.1',
      port,
      socket: { data: (socket) => void socket.write('N') },
    })

  /** Resolves with each change; probes answer in their own time. */
  function watch(port: number, probing: Partial<Probing> = {}) {
    const changes: string[] = []
    let changed = Promise.withResolvers<void>()
    const upstream = upstreamOn(tcp(port), {
      probing: {
        periodMs: 5,
        atOnce: true,
        question: { bytes: Uint8Array.of(1), answers: { N: 'leave' } },
        changed: (state, cause) => {
          changes.push(`${state} ${cause}`.trimEnd())
          changed.resolve()
          changed = Promise.withResolvers()
        },
        ...probing,
      },
    })
    upstream.watch()
    return { upstream, changes, change: () => changed.promise }
  }

  test('goes out and comes back as its server does, without any session', async () => {
    const port = await freePort()
    const { upstream, changes, change } = watch(port)
    await change()
    const server = listen(port)
    await change()
    expect(upstream).toMatchObject({ reachable: true, failures: 0, lastError: 'ECONNREFUSED' })
    server.stop(true)
    await change()
    await upstream.stop()
    expect(changes).toEqual(['out ECONNREFUSED', 'up', 'out ECONNREFUSED'])
    const { probes } = upstream.health
    expect(probes).toBeGreaterThan(2)
  })

  test('that is gone without a word is not waited for while there is another', async () => {
    const connections: PromiseWithResolvers<Socket<null>>[] = []
    const connect = spyOn(Bun, 'connect').mockImplementation((() => {
      connections.push(Promise.withResolvers())
      return connections.at(-1)!.promise
    }) as never)
    jest.useFakeTimers()
    const probing = { periodMs: 0, atOnce: false, question: null, changed: () => {} }
    const upstream = upstreamOn(tcp(dead), { dialTimeoutMs: 60_000, retries: 3, probing })
    upstream.watch()
    const dialling = upstream.dial(handlers, null, always, () => true)
    let settled = false
    const outcome = dialling.finally(() => {
      settled = true
    })
    const pass = async (ms: number): Promise<void> => {
      jest.advanceTimersByTime(ms)
      for (let turn = 0; turn < 20; turn++) await Promise.resolve()
    }
    await pass(999)
    expect(connections).toHaveLength(1)
    await pass(1)
    expect(connections).toHaveLength(2)
    await pass(4999)
    expect(settled).toBe(false)
    await pass(1)
    await pass(1000)
    const cause = 'no connection within 5000 ms'
    expect({ settled, dialled: await outcome }).toEqual({
      settled: true,
      dialled: { kind: 'failed', cause },
    })
    expect(upstream.health.state).toBe('suspected')
    // What comes of the attempt after all is nobody's.
    const dropped = Promise.withResolvers<void>()
    connections[0]!.resolve({ terminate: dropped.resolve } as never)
    await dropped.promise
    await upstream.stop()
    jest.useRealTimers()
    connect.mockRestore()
  })

  test('has five seconds at most for an answer, however long a dial may take', async () => {
    const timers = spyOn(globalThis, 'setTimeout')
    for (const [dialTimeoutMs, expected] of [
      [0, 5000],
      [60_000, 5000],
      [3000, 3000],
    ] as const) {
      const probing = { periodMs: 0, atOnce: true, question: null, changed: () => {} }
      const upstream = upstreamOn(tcp(dead), { dialTimeoutMs, probing })
      timers.mockClear()
      upstream.watch()
      expect(timers.mock.calls[0]?.[1]).toBe(expected)
      await upstream.stop()
    }
    timers.mockRestore()
  })

  test('without any word of probes is left alone', async () => {
    const upstream = upstreamOn(tcp(dead))
    upstream.watch()
    await upstream.stop()
    expect(upstream.health.probes).toBe(0)
  })
})
