/** Servers that break off, babble or dawdle: each ends its own session, and no other feels it. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { concat, int32, query } from '../../kit/frontend.ts'
import type { RunningGateway } from '../../kit/gateway.ts'
import { startBefore, startWay, WAYS } from '../../kit/traffic.ts'
import type { Wire } from '../../kit/wire.ts'
import { server as says } from '../../protocols/postgres/stage.ts'
import { type FakeConnection, type FakeServer, startFakeServer } from '../../tcp/fake-server.ts'
import { ANN, GREETING } from '../../tcp/scene.ts'
import { beginSession, mustBeUnharmed, weigh } from './scene.ts'

setDefaultTimeout(60_000)

const SESSIONS = 20
const ASK = query('select 1')
const ANSWER = concat(says.row('all of it'), says.complete('SELECT 1'), says.ready())
const text = new TextEncoder()

interface Fault {
  readonly server: (server: FakeConnection) => void
  /** SQLSTATE of the gateway's last word; null where only the end of the connection is clear. */
  readonly code: string | null
}

const HUNG_UP = '08006'
const NONSENSE = '08P01'

/** In place of the answer to a query. */
const FAULTS: Readonly<Record<string, Fault>> = {
  'closes without a word': { server: ({ socket }) => void socket.end(), code: HUNG_UP },
  'resets the connection': { server: ({ socket }) => void socket.resetAndDestroy(), code: HUNG_UP },
  'closes behind a row': {
    server: (server) => {
      server.send(says.row('one'))
      server.socket.end()
    },
    code: HUNG_UP,
  },
  'closes in the middle of a message': {
    server: (server) => {
      server.send(says.row('half of it').subarray(0, 9))
      server.socket.end()
    },
    code: null,
  },
  'resets in the middle of a header': {
    server: (server) => {
      server.send(says.row('one').subarray(0, 3))
      setImmediate(() => server.socket.resetAndDestroy())
    },
    code: HUNG_UP,
  },
  'sends random bytes': {
    server: (server) =>
      server.send(Uint8Array.of(0xff), crypto.getRandomValues(new Uint8Array(5000))),
    code: NONSENSE,
  },
  'sends zeros': { server: (server) => server.send(new Uint8Array(10_000)), code: NONSENSE },
  'sends a length under four': {
    server: (server) => server.send(text.encode('D'), int32(2)),
    code: NONSENSE,
  },
  'declares 200 MB and closes': {
    server: (server) => {
      server.send(text.encode('D'), int32(200_000_000), new Uint8Array(1000))
      server.socket.end()
    },
    code: null,
  },
}

async function greeted(server: FakeServer, at: RunningGateway) {
  const wire = await beginSession(at)
  const end = await server.next()
  await end.read(ANN.length)
  end.send(GREETING)
  await wire.readUntil('ReadyForQuery')
  return { wire, end }
}

/** SQLSTATE of the gateway's last word, behind whole messages only; null where it says nothing. */
async function lastCode(wire: Wire): Promise<string | null> {
  let code: string | null = null
  try {
    for (;;) {
      const read = await wire.read()
      if (code !== null) throw new Error(`${read.name} came behind the last word`)
      if (read.name === 'ErrorResponse' && read.severity === 'FATAL') code = read.code
    }
  } catch (error) {
    const isCut = String(error).includes('bytes of it read')
    if (!wire.isEnded || (isCut && code !== null)) throw error
  } finally {
    wire.destroy()
  }
  return code
}

describe.each(WAYS)('$way', (way) => {
  let server: FakeServer
  let gateway: RunningGateway
  beforeAll(async () => {
    server = await startFakeServer()
    gateway = await startWay({ host: '127.0.0.1', port: server.port }, way)
  })
  afterAll(async () => {
    expect((await gateway.stop()).status).toBe(0)
    await server[Symbol.asyncDispose]()
  })

  async function isAnswered({ wire, end }: Awaited<ReturnType<typeof greeted>>): Promise<void> {
    wire.send(ASK)
    await end.read(ASK.length)
    end.send(ANSWER)
    expect(await wire.expect('DataRow')).toMatchObject({ values: ['all of it'] })
    await wire.readUntil('ReadyForQuery')
  }

  for (const [name, fault] of Object.entries(FAULTS)) {
    test(`a server that ${name} ends its session: ${fault.code ?? 'a clean end'}`, async () => {
      const before = await weigh(gateway)
      const bystander = await greeted(server, gateway)
      const ends: (string | null)[] = []
      for (let session = 0; session < SESSIONS; session++) {
        const { wire, end } = await greeted(server, gateway)
        wire.send(ASK)
        await end.read(ASK.length)
        fault.server(end)
        ends.push(await lastCode(wire))
        end.socket.destroy()
      }
      expect(ends).toEqual(Array(SESSIONS).fill(fault.code))
      await isAnswered(bystander)
      bystander.wire.destroy()
      bystander.end.socket.destroy()
      await mustBeUnharmed(gateway, before)
    })

    test(`a server that ${name} before it let the client in does the same`, async () => {
      const wire = await beginSession(gateway)
      const end = await server.next()
      await end.read(ANN.length)
      fault.server(end)
      expect(await lastCode(wire)).toBe(fault.code)
      end.socket.destroy()
    })
  }

  test('what came whole before a server broke off is delivered, then the reason told', async () => {
    const { wire, end } = await greeted(server, gateway)
    wire.send(ASK)
    await end.read(ASK.length)
    end.send(says.row('one'), says.complete('SELECT 1').subarray(0, 8))
    end.socket.end()
    expect(await wire.expect('DataRow')).toMatchObject({ values: ['one'] })
    // Half a message that a plugin waits for does not go on, and leaves room for the reason.
    expect(await lastCode(wire)).toBe(way.isAudited ? HUNG_UP : null)
    end.socket.destroy()
  })

  test('a server that sends byte by byte is heard, and holds up nobody', async () => {
    const before = await weigh(gateway)
    const slow = await greeted(server, gateway)
    const other = await greeted(server, gateway)
    slow.wire.send(ASK)
    await slow.end.read(ASK.length)
    for (const byte of ANSWER) {
      slow.end.send(Uint8Array.of(byte))
      await isAnswered(other)
    }
    expect(await slow.wire.expect('DataRow')).toMatchObject({ values: ['all of it'] })
    await slow.wire.readUntil('ReadyForQuery')
    for (const { wire, end } of [slow, other]) {
      wire.destroy()
      await end.ended
      end.socket.destroy()
    }
    await mustBeUnharmed(gateway, before)
  })
})

test('a server that takes a connection and says nothing is given up at loginTimeout', async () => {
  await using server = await startFakeServer()
  const behind = { host: '127.0.0.1', port: server.port }
  await using gateway = await startBefore(behind, { server: { loginTimeout: '300ms' } })
  const before = await weigh(gateway)
  for (let session = 0; session < 3; session++) {
    const wire = await beginSession(gateway)
    expect(await wire.expect('ErrorResponse')).toMatchObject({ severity: 'FATAL', code: '57P05' })
    await wire.closed()
    wire.destroy()
  }
  await mustBeUnharmed(gateway, before)
})
