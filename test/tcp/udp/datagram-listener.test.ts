/** Sessions in datagrams: one a client address, bounded, ended by silence, moved by a reload. */
import { afterEach, describe, expect, test } from 'bun:test'
import { GatewayError } from '../../../src/base/errors.ts'
import { ObserverDesk } from '../../../src/hooks/observers.ts'
import type { ObservingStep } from '../../../src/hooks/step.ts'
import { DATAGRAM_BYTES_MAX } from '../../../src/upstream/datagrams.ts'
import { DatagramClient, type DatagramServer, startDatagramServer } from '../../kit/datagrams.ts'
import { type ServiceOptions, startDatagrams } from '../../kit/service.ts'
import { until } from '../../kit/traffic.ts'

const started: DatagramServer[] = []
async function server(...args: Parameters<typeof startDatagramServer>): Promise<DatagramServer> {
  const made = await startDatagramServer(...args)
  started.push(made)
  return made
}
afterEach(() => {
  for (const each of started.splice(0)) each.stop()
})

/** A service in front of a server that answers with what it got. */
async function scene(options: Partial<ServiceOptions> = {}) {
  const echo = await server()
  const service = await startDatagrams({ upstreams: [echo.port], ...options })
  return { echo, service, counts: service.account.datagrams! }
}

describe('datagrams', () => {
  test('come to the server and back as they were, also empty and as long as can be', async () => {
    const { service, counts } = await scene()
    using client = await DatagramClient.open(service.port)
    const long = crypto.getRandomValues(Buffer.alloc(DATAGRAM_BYTES_MAX))
    for (const bytes of [Buffer.from('a'), Buffer.alloc(0), long]) {
      client.send(bytes)
      expect(Buffer.compare((await client.next())!, bytes)).toBe(0)
    }
    expect(counts).toMatchObject({ fromClient: 3, toServer: 3, fromServer: 3, toClient: 3 })
    expect(service.account.bytesToClient).toBe(DATAGRAM_BYTES_MAX + 1)
    await service.stop()
  })

  test('of one address are one session, of others others, each with its own answers', async () => {
    const { service } = await scene()
    const clients = await Promise.all(
      Array.from({ length: 20 }, () => DatagramClient.open(service.port)),
    )
    for (let turn = 0; turn < 5; turn++) {
      const answers = await Promise.all(clients.map((client, at) => client.ask(`${turn} ${at}`)))
      expect(answers).toEqual(clients.map((_, at) => `${turn} ${at}`))
    }
    expect(service.account.sessionsTotal).toBe(20)
    expect(service.listener.sessions).toBe(20)
    for (const client of clients) client[Symbol.dispose]()
    await service.stop()
    expect(service.account.sessionsOpen).toBe(0)
    expect(service.tenancy.sessions).toBe(0)
  })

  test('of a session that is silent for idleTimeout begin another one', async () => {
    const { service } = await scene({ idleTimeoutMs: 300 })
    using client = await DatagramClient.open(service.port)
    expect(await client.ask('a')).toBe('a')
    await until('it has ended', () => service.listener.sessions === 0)
    expect(service.account.idleTimeouts).toBe(1)
    expect(await client.ask('b')).toBe('b')
    expect(service.account.sessionsTotal).toBe(2)
    await service.stop()
  })

  test('of one client more than sessionsMax are dropped and counted', async () => {
    const { service, counts } = await scene({ sessionsMax: 1 })
    using one = await DatagramClient.open(service.port)
    using other = await DatagramClient.open(service.port)
    expect(await one.ask('a')).toBe('a')
    expect(await other.ask('b', 100)).toBeNull()
    expect(await one.ask('c')).toBe('c')
    expect(service.account.sessionsRefused).toBe(1)
    expect(counts.dropped.of('refused')).toBe(1)
    await service.stop()
  })

  test('that nobody answers at the server lead to another block', async () => {
    const gone = await server()
    gone.stop()
    const echo = await server()
    const dial = { probing: { periodMs: 0, atOnce: false, question: null, changed() {} } }
    const service = await startDatagrams({ upstreams: [gone.port, echo.port], dial })
    for (const upstream of service.upstreams) upstream.watch()
    using client = await DatagramClient.open(service.port)
    await until('it is answered', async () => (await client.ask('a', 50)) === 'a')
    expect(service.unreached[0]).toBe('writes: ECONNREFUSED')
    expect(service.account.upstreamFailures).toBeGreaterThan(0)
    await service.stop()
    for (const upstream of service.upstreams) await upstream.stop()
  })
})

test('a datagram that the kernel does not take now is dropped and counted, not kept', async () => {
  const { service, echo, counts } = await scene()
  using client = await DatagramClient.open(service.port)
  expect(await client.ask('a')).toBe('a')
  const probe = await Bun.udpSocket({ connect: { hostname: '127.0.0.1', port: echo.port } })
  const kind: { send(): boolean } = Object.getPrototypeOf(probe)
  const { send } = kind
  const isToServer = (port: number | undefined): boolean => port === echo.port
  kind.send = function (this: { remoteAddress?: { port: number } }, ...args: []) {
    return isToServer(this.remoteAddress?.port) ? false : send.apply(this, args)
  }
  try {
    client.send('b')
    await until('it is dropped', () => counts.dropped.of('full') === 1)
  } finally {
    kind.send = send
    probe.close()
  }
  expect(await client.ask('c')).toBe('c')
  expect(echo.heard).toEqual(['a', 'c'])
  await service.stop()
})

test('observers are told of a session, its datagrams and its end, in order', async () => {
  const told: string[] = []
  const hooks = ['onOpened', 'onTraffic', 'onClosing', 'onClosed'] as const
  const traffic = ['onTrafficToServer', 'onTrafficToClient'] as const
  const observers = [...hooks, ...traffic].map((hook) => {
    const step: ObservingStep = {
      plugin: 'watcher',
      priority: 1,
      onFailure: 'open',
      messages: null,
      unit: 'message',
      async tell({ bytes, request }) {
        const words = [bytes, request].map((each) => each && Buffer.from(each).toString())
        told.push([hook, ...words].filter((word) => word).join(' '))
        return true
      },
    }
    return [hook, [{ step, tags: null }]] as const
  })
  const desk = new ObserverDesk(new Map(observers), new Set(['watcher']), 100, {
    dropped() {},
    failed() {},
  })
  const { service } = await scene({ observers: desk, keepsRequest: true, idleTimeoutMs: 300 })
  using client = await DatagramClient.open(service.port)
  expect(await client.ask('a')).toBe('a')
  await until('it has ended', () => service.listener.sessions === 0)
  await desk.quiet()
  expect(told).toEqual([
    'onOpened',
    'onTraffic',
    'onTrafficToServer a',
    'onTrafficToClient a a',
    'onClosing',
    'onClosed',
  ])
  await service.stop()
})

describe('a step', () => {
  test('gets each datagram, and what it decides becomes of it', async () => {
    const { service, echo, counts } = await scene({
      fromClient: [
        {
          decide(bytes) {
            const words = Buffer.from(bytes).toString()
            if (words === 'replace') return { kind: 'replace', bytes: Buffer.from('other') }
            if (words === 'respond') return { kind: 'respond', bytes: Buffer.from('pong') }
            if (words === 'deny') return { kind: 'deny', code: '42000', message: 'no' }
            if (words === 'close') return { kind: 'close', bytes: Buffer.from('bye') }
            if (words === 'route') return { kind: 'route', block: 'writes' }
            return { kind: 'continue' }
          },
        },
      ],
      fromServer: [
        {
          decide: (bytes) =>
            Buffer.from(bytes).toString() === 'secret'
              ? { kind: 'replace', bytes: Buffer.from('******') }
              : { kind: 'continue' },
        },
      ],
    })
    using client = await DatagramClient.open(service.port)
    expect(await client.ask('plain')).toBe('plain')
    expect(await client.ask('replace')).toBe('other')
    expect(await client.ask('respond')).toBe('pong')
    expect(await client.ask('secret')).toBe('******')
    expect(await client.ask('deny', 100)).toBeNull()
    expect(counts.dropped.of('denied')).toBe(1)
    expect(service.denials).toEqual(['onTrafficFromClient'])
    expect(await client.ask('route')).toBe('route')
    expect(service.failures[0]).toContain('can be routed at onOpening only')
    expect(await client.ask('close')).toBe('bye')
    expect(service.listener.sessions).toBe(0)
    expect(echo.heard).toEqual(['plain', 'other', 'secret', 'route'])
    await service.stop()
  })

  test('that takes its time is waited for; what comes meanwhile keeps its order', async () => {
    const { service } = await scene({
      fromClient: [
        {
          async decide(bytes) {
            await Bun.sleep(bytes[0] === 0x61 ? 30 : 0)
            return { kind: 'continue' }
          },
        },
      ],
    })
    using client = await DatagramClient.open(service.port)
    for (const word of ['a', 'b', 'c']) client.send(word)
    const got: string[] = []
    for (let at = 0; at < 3; at++) got.push(String.fromCharCode((await client.next())![0]!))
    expect(got).toEqual(['a', 'b', 'c'])
    await service.stop()
  })

  test('that hangs holds so many datagrams and no more; the rest is dropped', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const { service, counts } = await scene({
      fromClient: [{ decide: () => promise.then(() => ({ kind: 'continue' })) }],
    })
    using client = await DatagramClient.open(service.port)
    using other = await DatagramClient.open(service.port)
    for (let sent = 0; sent < 80; sent++) {
      client.send('x'.repeat(100))
      if (sent % 10 === 0) await Bun.sleep(1)
    }
    other.send('not held up')
    await until('all came', () => counts.fromClient === 81)
    expect(counts.dropped.of('queue')).toBe(15)
    expect(service.budget.held).toBe(6400)
    resolve()
    await until('they go on', () => counts.toServer === 66)
    expect(service.budget.held).toBe(0)
    await service.stop()
  })

  test('makes nothing of a datagram that is too long to be one', async () => {
    const { service } = await scene({
      fromClient: [
        { decide: () => ({ kind: 'replace', bytes: new Uint8Array(DATAGRAM_BYTES_MAX + 1) }) },
      ],
    })
    using client = await DatagramClient.open(service.port)
    expect(await client.ask('as it was')).toBe('as it was')
    expect(service.failures[0]).toContain('a datagram has 65507 at most')
    await service.stop()
  })

  test('at onOpening refuses, or sends elsewhere', async () => {
    const {
      echo,
      service: refusing,
      counts,
    } = await scene({
      opening: () => ({ kind: 'deny', code: '28000', message: 'no' }),
    })
    using client = await DatagramClient.open(refusing.port)
    expect(await client.ask('a', 100)).toBeNull()
    expect(echo.heard).toEqual([])
    expect(counts.dropped.of('refused')).toBe(1)
    expect(refusing.listener.sessions).toBe(0)
    await refusing.stop()
    const reads = await server(() => 'reads')
    const routing = await startDatagrams({
      upstreams: [echo.port, reads.port],
      opening: async () => ({ kind: 'route', block: 'reads1' }),
    })
    using routed = await DatagramClient.open(routing.port)
    expect(await routed.ask('a')).toBe('reads')
    await routing.stop()
  })
})

describe('a reload', () => {
  test('has a session work by other steps from the next datagram on', async () => {
    const { service } = await scene()
    using client = await DatagramClient.open(service.port)
    expect(await client.ask('a')).toBe('a')
    const next = service.renew({
      fromClient: [{ decide: () => ({ kind: 'respond', bytes: Buffer.from('new') }) }],
    })
    expect(await client.ask('a')).toBe('new')
    expect(service.account.sessionsTotal).toBe(1)
    expect(service.tenancy.sessions).toBe(0)
    expect(next.sessions).toBe(1)
    await service.stop()
  })

  test('lets a session whose server is gone end when quiet, and begin at another', async () => {
    const { service } = await scene()
    const other = await server(() => 'other')
    using client = await DatagramClient.open(service.port)
    expect(await client.ask('a')).toBe('a')
    service.renew({ upstreams: [other.port] })
    expect(await client.ask('a')).toBe('a')
    await until('it has ended', () => service.listener.sessions === 0)
    expect(await client.ask('a')).toBe('other')
    await service.stop()
  })
})

describe('a drain', () => {
  test('takes no new clients, lets answers come, and ends when it is quiet', async () => {
    const slow = await server(() => null)
    const service = await startDatagrams({ upstreams: [slow.port] })
    using client = await DatagramClient.open(service.port)
    using late = await DatagramClient.open(service.port)
    client.send('a')
    await until('it is there', () => service.listener.sessions === 1)
    const drained = service.listener.drain(20_000)
    late.send('b')
    await until('it is dropped', () => service.account.datagrams?.dropped.of('draining') === 1)
    await drained
    expect(service.listener.sessions).toBe(0)
  })

  test('ends by force after its time', async () => {
    const { service } = await scene({
      fromClient: [{ decide: () => new Promise(() => {}) }],
    })
    using client = await DatagramClient.open(service.port)
    client.send('a')
    await until('it is there', () => service.listener.sessions === 1)
    await service.listener.drain(50)
    expect(service.account.sessionsOpen).toBe(0)
  })
})

test('an address that is taken is told by its key', async () => {
  const taken = await server()
  const { service } = await scene()
  const address = { network: 'udp', host: '127.0.0.1', port: taken.port } as const
  expect(service.listener.alsoAt({ address })).rejects.toThrow(GatewayError)
  expect(service.listener.alsoAt({ address })).rejects.toThrow(
    `servers.default.address: cannot listen on 127.0.0.1:${taken.port} (udp)`,
  )
  await service.stop()
})
