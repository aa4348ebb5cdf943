/** Sessions whose block cannot be reached, while others can. */
import { describe, expect, test } from 'bun:test'
import { freePort } from '../kit/free-port.ts'
import { startFakeServer } from './fake-server.ts'
import { ANN, GREETING, type Scene, setScene } from './scene.ts'

/** A session that ends up at this server. */
async function arrives(scene: Scene, server = scene.server): Promise<void> {
  const wire = await scene.connect()
  wire.send(ANN)
  const end = await server.next()
  await end.read(ANN.length)
  end.send(GREETING)
  await wire.readUntil('ReadyForQuery')
}

/** Waits that no test would survive. */
const FOR_EVER = { retries: 5, backoffMs: 3_600_000 }

describe('a session whose block cannot be reached', () => {
  test('goes on to the next healthy one at once, and those after it go there', async () => {
    await using scene = await setScene({ others: [await freePort()], dial: FOR_EVER })
    for (let count = 0; count < 6; count++) await arrives(scene)
    expect(scene.service.account).toMatchObject({ failovers: 1, upstreamFailures: 1 })
    expect(scene.service.unreached).toEqual(['reads1: ECONNREFUSED'])
  })

  test('tries all of them before it is refused', async () => {
    const [first, second] = [await freePort(), await freePort()]
    await using scene = await setScene({ upstreams: [first, second] })
    const wire = await scene.connect()
    wire.send(ANN)
    expect(await wire.expect('ErrorResponse')).toMatchObject({ severity: 'FATAL', code: '08006' })
    expect(scene.service.unreached).toEqual(['writes: ECONNREFUSED', 'reads1: ECONNREFUSED'])
  })

  test('waits only where no other is left, and those after it try all again', async () => {
    const ports = [await freePort(), await freePort()]
    const dial = { retries: 3, backoffMs: 1, backoffMultiplier: 1 }
    await using scene = await setScene({ upstreams: ports, dial })
    for (let count = 1; count <= 2; count++) {
      const wire = await scene.connect()
      wire.send(ANN)
      await wire.expect('ErrorResponse')
      const all = ['reads1: ECONNREFUSED', 'writes: ECONNREFUSED']
      expect(scene.service.unreached.splice(0).sort()).toEqual(all)
      expect(scene.service.account.failovers).toBe(count)
    }
  })

  test('finds the one that has come back before anybody knew', async () => {
    const [first, second] = [await freePort(), await freePort()]
    await using scene = await setScene({ upstreams: [first, second] })
    const refused = await scene.connect()
    refused.send(ANN)
    await refused.expect('ErrorResponse')
    for (const port of [first, second]) {
      const arrived = Promise.withResolvers<void>()
      const socket = { data: () => arrived.resolve() }
      using server = Bun.listen({ hostname: '127.0.0.1', port, socket })
      expect(server.port).toBe(port)
      const wire = await scene.connect()
      wire.send(ANN)
      await arrived.promise
    }
  })

  test('stays there where a plugin chose it', async () => {
    const route = { kind: 'route', block: 'reads1' } as const
    await using scene = await setScene({ opening: () => route, others: [await freePort()] })
    const wire = await scene.connect()
    wire.send(ANN)
    expect(await wire.expect('ErrorResponse')).toMatchObject({
      message: 'the database behind this gateway cannot be reached (reads1)',
    })
    expect(scene.service.account.failovers).toBe(0)
  })
})

test('steps and refusals know the block that a session came to', async () => {
  const blocks: string[] = []
  await using other = await startFakeServer()
  await using scene = await setScene({
    upstreams: [await freePort(), other.port],
    fromClient: [
      {
        decide: (_bytes, { block }) => {
          blocks.push(block)
          return { kind: 'continue' }
        },
      },
    ],
  })
  await arrives(scene, other)
  expect(blocks).toEqual(['reads1'])
})
