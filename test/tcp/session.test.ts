/** The life of a session, from its first byte to its end, with either side leaving at any time. */
import { describe, expect, test } from 'bun:test'
import { CONTINUE, type TrafficVerdict } from '../../src/hooks/verdict.ts'
import { freePort } from '../kit/free-port.ts'
import { copyData, flush, query, sslRequest, terminate } from '../kit/frontend.ts'
import { server as says } from '../protocols/postgres/stage.ts'
import type { FakeConnection } from './fake-server.ts'
import { ANN, GREETING, setScene } from './scene.ts'

const SELECT = query('select 1')
const REPLY = Buffer.concat([
  says.columns(),
  says.row('1'),
  says.complete('SELECT 1'),
  says.ready(),
])

describe('bytes', () => {
  test('go both ways as they came, and are counted', async () => {
    await using scene = await setScene()
    const { wire, server } = await scene.logIn()
    wire.send(SELECT)
    expect(await server.read(SELECT.length)).toEqual(Buffer.from(SELECT))
    server.send(REPLY)
    expect(await wire.readBytes(REPLY.length)).toEqual(new Uint8Array(REPLY))
    expect(scene.service.account).toMatchObject({
      sessionsOpen: 1,
      sessionsTotal: 1,
      bytesFromClient: ANN.length + SELECT.length,
      bytesToServer: ANN.length + SELECT.length,
      bytesFromServer: GREETING.length + REPLY.length,
      bytesToClient: GREETING.length + REPLY.length,
    })
  })

  test('that come in one with the startup packet are not lost', async () => {
    await using scene = await setScene()
    const wire = await scene.connect()
    wire.send(ANN, SELECT)
    const server = await scene.server.next()
    expect(await server.read(ANN.length + SELECT.length)).toEqual(Buffer.concat([ANN, SELECT]))
  })

  test('of a client that half-closes before the server is there still reach it', async () => {
    const { promise, resolve } = Promise.withResolvers<typeof CONTINUE>()
    const verdicts = [promise, CONTINUE]
    await using scene = await setScene({ opening: () => verdicts.shift()! })
    const wire = await scene.connect()
    wire.send(ANN, SELECT)
    wire.halfClose()
    // By the time that another client is logged in, all that the first has sent is there.
    await scene.logIn()
    resolve(CONTINUE)
    const server = await scene.server.next()
    expect(await server.readToEnd()).toEqual(Buffer.concat([ANN, SELECT]))
    server.send(GREETING, REPLY)
    expect(await wire.readBytes(GREETING.length + REPLY.length)).toHaveLength(
      GREETING.length + REPLY.length,
    )
    server.socket.end()
    await wire.closed()
  })
})

describe('a client that', () => {
  test('closes its side only still gets its reply', async () => {
    await using scene = await setScene()
    const { wire, server } = await scene.logIn()
    wire.send(SELECT)
    wire.halfClose()
    expect(await server.readToEnd()).toEqual(Buffer.from(SELECT))
    server.send(REPLY)
    expect(await wire.readBytes(REPLY.length)).toEqual(new Uint8Array(REPLY))
    server.socket.end()
    await wire.closed()
  })

  test('says Terminate takes its server connection with it', async () => {
    await using scene = await setScene()
    const { wire, server } = await scene.logIn()
    wire.send(terminate())
    wire.halfClose()
    expect(await server.readToEnd()).toEqual(Buffer.from(terminate()))
    server.socket.end()
    await wire.closed()
    await server.closed
  })

  test('drops the connection ends its server connection', async () => {
    await using scene = await setScene()
    const { wire, server } = await scene.logIn()
    wire.socket.resetAndDestroy()
    await server.ended
    expect(scene.service.account.sessionsOpen).toBe(0)
  })

  test('drops the connection while written to frees a server that writes', async () => {
    await using scene = await setScene()
    const { wire, server } = await scene.logIn()
    wire.socket.pause()
    wire.send(SELECT)
    await server.read(SELECT.length)
    fill(server)
    await stuck(server)
    wire.socket.resetAndDestroy()
    await server.closed
    expect(scene.service.account.sessionsOpen).toBe(0)
  })
})

/** Has the server write more than all buffers on the way can take. */
function fill(server: FakeConnection): void {
  const row = copyData('x'.repeat(999_995))
  for (let count = 0; count < 100; count++) server.socket.write(row)
}

/** Resolves when nothing of what the server writes moves any more. */
async function stuck({ socket }: FakeConnection): Promise<void> {
  let left = -1
  for (let turns = 0; turns < 200; turns++) {
    if (socket.writableLength !== left) turns = 0
    left = socket.writableLength
    await new Promise(setImmediate)
  }
}

describe('a server that goes away', () => {
  const ways = {
    'in good order': ({ socket }: FakeConnection) => void socket.end(),
    'with a reset': ({ socket }: FakeConnection) => void socket.resetAndDestroy(),
  }
  for (const [how, leave] of Object.entries(ways)) {
    test(`${how} before it let the client in: the client is told`, async () => {
      await using scene = await setScene()
      const wire = await scene.connect()
      wire.send(ANN)
      const server = await scene.server.next()
      await server.read(ANN.length)
      leave(server)
      expect(await wire.expect('ErrorResponse')).toMatchObject({ severity: 'FATAL', code: '08006' })
      await wire.closed()
    })

    test(`${how} between replies: the client is told`, async () => {
      await using scene = await setScene()
      const { wire, server } = await scene.logIn()
      leave(server)
      expect(await wire.expect('ErrorResponse')).toMatchObject({ severity: 'FATAL', code: '08006' })
      await wire.closed()
    })

    test(`${how} within a reply: what came is delivered, then the client is told`, async () => {
      await using scene = await setScene()
      const { wire, server } = await scene.logIn()
      wire.send(SELECT)
      await server.read(SELECT.length)
      server.send(says.columns(), says.row('1'))
      await wire.expect('RowDescription')
      await wire.expect('DataRow')
      leave(server)
      expect(await wire.expect('ErrorResponse')).toMatchObject({ severity: 'FATAL', code: '08006' })
      await wire.closed()
    })

    test(`${how} in the middle of a message: nothing is written into it`, async () => {
      await using scene = await setScene()
      const { wire, server } = await scene.logIn()
      const part = says.row('a long row').slice(0, 9)
      server.send(part)
      expect(await wire.readBytes(part.length)).toEqual(part)
      leave(server)
      await wire.closed()
    })
  }

  test('and a step that closes in the middle of a message: no words are put into it', async () => {
    const words: TrafficVerdict = { kind: 'close', bytes: says.error('22000', 'bye') }
    await using scene = await setScene({
      fromClient: [{ messages: ['Flush'], decide: () => words }],
    })
    const { wire, server } = await scene.logIn()
    const part = says.row('a long row').slice(0, 9)
    server.send(part)
    expect(await wire.readBytes(part.length)).toEqual(part)
    wire.send(flush())
    await wire.closed()
  })

  test('with an error of its own has said enough', async () => {
    await using scene = await setScene()
    const { wire, server } = await scene.logIn()
    server.send(says.error('57P01', 'shutting down'))
    server.socket.end()
    expect(await wire.expect('ErrorResponse')).toMatchObject({ code: '57P01' })
    await wire.closed()
  })

  test('with what a step holds of a reply: what is whole of it is delivered', async () => {
    await using scene = await setScene({
      fromServer: [{ unit: 'reply', decide: async () => CONTINUE }],
    })
    const { wire, server } = await scene.logIn()
    wire.send(SELECT)
    await server.read(SELECT.length)
    server.send(says.columns(), says.row('1'), says.row('2').slice(0, 7))
    server.socket.end()
    await wire.expect('RowDescription')
    await wire.expect('DataRow')
    expect(await wire.expect('ErrorResponse')).toMatchObject({ code: '08006' })
    await wire.closed()
    expect(scene.service.budget.held).toBe(0)
  })

  test('is not mourned by a client that has left already', async () => {
    await using scene = await setScene()
    const { wire, server } = await scene.logIn()
    wire.halfClose()
    await server.ended
    server.socket.end()
    await wire.closed()
  })
})

describe('an upstream that cannot be reached', () => {
  test('is told behind SSLRequest and startup, with a cure', async () => {
    await using scene = await setScene({ upstreams: [await freePort()] })
    const wire = await scene.connect()
    wire.send(sslRequest())
    expect(await wire.readBytes(1)).toEqual(Uint8Array.of(0x4e))
    wire.send(ANN)
    expect(await wire.expect('ErrorResponse')).toMatchObject({
      severity: 'FATAL',
      code: '08006',
      message: 'the database behind this gateway cannot be reached (writes)',
      hint: expect.stringContaining('log'),
    })
    await wire.closed()
    expect(scene.service.account.upstreamFailures).toBe(1)
    expect(scene.service.unreached).toEqual(['writes: ECONNREFUSED'])
  })
})

describe('bytes that are not PostgreSQL', () => {
  test('of a client end its session with FATAL; nothing reaches the server', async () => {
    await using scene = await setScene()
    const { wire, server } = await scene.logIn()
    wire.send(new TextEncoder().encode('GET / HTTP/1.1\r\n\r\n'))
    expect(await wire.expect('ErrorResponse')).toMatchObject({ severity: 'FATAL', code: '08P01' })
    await wire.closed()
    expect(await server.readToEnd()).toHaveLength(0)
    expect(scene.service.account.violations).toBe(1)
  })

  test('of a server end the session too', async () => {
    await using scene = await setScene()
    const { wire, server } = await scene.logIn()
    server.send(says.columns(), query('select 2'))
    await wire.expect('RowDescription')
    expect(await wire.expect('ErrorResponse')).toMatchObject({ severity: 'FATAL', code: '08P01' })
    await wire.closed()
    await server.ended
    expect(scene.service.account.violations).toBe(1)
  })

  test('in place of the startup packet end it, and say what they look like', async () => {
    await using scene = await setScene()
    const wire = await scene.connect()
    wire.send(new Uint8Array([0x16, 3, 1, 2, 0, 1, 0, 1]))
    expect(await wire.expect('ErrorResponse')).toMatchObject({
      message: expect.stringContaining('is it TLS?'),
    })
    await wire.closed()
  })
})

describe('something that breaks inside', () => {
  test('ends that session in good order and no other, and is counted', async () => {
    for (const slowly of [false, true]) {
      await using scene = await setScene({
        fromClient: [
          {
            messages: ['Query'],
            decide: (bytes) => {
              if (!Buffer.from(bytes).includes('break')) return CONTINUE
              if (slowly) return Promise.reject(new Error('it broke'))
              throw new Error('it broke')
            },
          },
        ],
      })
      const other = await scene.logIn()
      const { wire, server } = await scene.logIn()
      wire.send(query('break'))
      await wire.closed()
      await server.ended
      expect(scene.service.account).toMatchObject({ internalErrors: 1, sessionsOpen: 1 })
      other.wire.send(SELECT)
      await other.server.read(SELECT.length)
    }
  })
})
