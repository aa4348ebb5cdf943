/** Services that are not PostgreSQL: chunks both ways, and either side may stop first. */
import { describe, expect, test } from 'bun:test'
import { CONTINUE, type TrafficVerdict } from '../../src/hooks/verdict.ts'
import { RAW } from '../../src/protocols/raw.ts'
import { freePort } from '../kit/free-port.ts'
import { type FakeStep, passing, type ServiceOptions } from '../kit/service.ts'
import type { Wire } from '../kit/wire.ts'
import type { FakeConnection } from './fake-server.ts'
import { type Scene, setScene } from './scene.ts'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

const setRaw = (options: Partial<ServiceOptions> = {}): Promise<Scene> =>
  setScene({ ...options, protocol: RAW })

async function meet(scene: Scene): Promise<{ wire: Wire; server: FakeConnection }> {
  const wire = await scene.connect()
  return { wire, server: await scene.server.next() }
}

async function reads(wire: Wire, text: string): Promise<void> {
  expect(textOf(await wire.readBytes(text.length))).toBe(text)
}

const WAYS: Readonly<Record<string, Partial<ServiceOptions>>> = {
  'without steps': {},
  'with steps': { fromClient: [passing(false)], fromServer: [passing(false)] },
  'with steps that take their time': {
    fromClient: [passing(true), passing(true, 'batch')],
    fromServer: [passing(true, 'reply')],
  },
}

for (const [way, options] of Object.entries(WAYS)) {
  describe(way, () => {
    test('a server may speak first, as with a banner', async () => {
      await using scene = await setRaw(options)
      const { wire, server } = await meet(scene)
      server.send(bytesOf('220 ready\r\n'))
      await reads(wire, '220 ready\r\n')
    })

    test('bytes go both ways as they came, whatever they are', async () => {
      await using scene = await setRaw(options)
      const { wire, server } = await meet(scene)
      const all = new Uint8Array(100_000).map((_, at) => at % 251)
      wire.send(all)
      expect(Buffer.compare(await server.read(all.length), all)).toBe(0)
      server.send(all)
      expect(Buffer.compare(await wire.readBytes(all.length), all)).toBe(0)
    })

    test('a client that stops sending still gets what the server has to say', async () => {
      await using scene = await setRaw(options)
      const { wire, server } = await meet(scene)
      wire.send(bytesOf('all I have'))
      wire.halfClose()
      expect(textOf(await server.readToEnd())).toBe('all I have')
      server.send(bytesOf('thank you'))
      server.socket.end()
      await reads(wire, 'thank you')
      await wire.closed()
    })

    test('a server that stops sending still gets what the client has to say', async () => {
      await using scene = await setRaw(options)
      const { wire, server } = await meet(scene)
      server.send(bytesOf('all I have'))
      server.socket.end()
      await reads(wire, 'all I have')
      await wire.closed()
      wire.send(bytesOf('thank you'))
      wire.halfClose()
      expect(textOf(await server.readToEnd())).toBe('thank you')
      while (scene.service.account.sessionsOpen > 0) await new Promise(setImmediate)
    })

    test('the last words of a server are not lost when both have stopped', async () => {
      await using scene = await setRaw(options)
      for (let round = 0; round < 20; round++) {
        const { wire, server } = await meet(scene)
        wire.halfClose()
        await server.ended
        const words = 'x'.repeat(300_000)
        server.socket.end(words)
        await reads(wire, words)
        await wire.closed()
      }
    })
  })
}

const at = (verdict: TrafficVerdict, slowly: boolean): FakeStep => ({
  decide: (bytes) => {
    if (!textOf(bytes).includes('word')) return CONTINUE
    return slowly ? Promise.resolve(verdict) : verdict
  },
})

for (const slowly of [false, true]) {
  describe(`a step decides ${slowly ? 'after a promise' : 'at once'}`, () => {
    test('to replace a chunk, of either side', async () => {
      const step = at({ kind: 'replace', bytes: bytesOf('other') }, slowly)
      await using scene = await setRaw({ fromClient: [step], fromServer: [step] })
      const { wire, server } = await meet(scene)
      wire.send(bytesOf('a word'))
      expect(textOf(await server.read(5))).toBe('other')
      server.send(bytesOf('a word'))
      await reads(wire, 'other')
    })

    test('to answer a chunk, which the server does not see', async () => {
      const step = at({ kind: 'respond', bytes: bytesOf('answer') }, slowly)
      await using scene = await setRaw({ fromClient: [step] })
      const { wire, server } = await meet(scene)
      wire.send(bytesOf('a word'))
      await reads(wire, 'answer')
      wire.send(bytesOf('next'))
      expect(textOf(await server.read(4))).toBe('next')
    })

    test('to refuse, for which there are no words: the connection is closed', async () => {
      const step = at({ kind: 'deny', code: '42501', message: 'no' }, slowly)
      for (const options of [{ fromClient: [step] }, { fromServer: [step] }]) {
        await using scene = await setRaw(options)
        const { wire, server } = await meet(scene)
        wire.send(bytesOf('a word'))
        if ('fromServer' in options) {
          await server.read(6)
          server.send(bytesOf('a word'))
        }
        await wire.closed()
        expect(await server.readToEnd()).toHaveLength(0)
      }
    })

    test('to close, with last words', async () => {
      const step = at({ kind: 'close', bytes: bytesOf('bye') }, slowly)
      await using scene = await setRaw({ fromClient: [step] })
      const { wire, server } = await meet(scene)
      wire.send(bytesOf('a word'))
      await reads(wire, 'bye')
      await wire.closed()
      expect(await server.readToEnd()).toHaveLength(0)
    })

    test('nothing because it failed: open lets pass, closed closes', async () => {
      const step = at({ kind: 'failure', cause: 'it fell' }, slowly)
      await using open = await setRaw({ fromClient: [step] })
      const passed = await meet(open)
      passed.wire.send(bytesOf('a word'))
      expect(textOf(await passed.server.read(6))).toBe('a word')
      await using shut = await setRaw({ fromClient: [{ ...step, onFailure: 'closed' }] })
      const refused = await meet(shut)
      refused.wire.send(bytesOf('a word'))
      await refused.wire.closed()
      expect([open.service.failures, shut.service.failures]).toEqual([
        ['onTrafficFromClient: it fell'],
        ['onTrafficFromClient: it fell'],
      ])
    })
  })
}

describe('a client is closed without a word', () => {
  test('where the server cannot be reached', async () => {
    await using scene = await setRaw({ upstreams: [await freePort()] })
    await (await scene.connect()).closed()
    expect(scene.service.account.upstreamFailures).toBe(1)
  })

  test('where it is refused, or there are too many', async () => {
    const refusal = { kind: 'deny', code: '28000', message: 'no' } as const
    await using scene = await setRaw({ opening: () => refusal })
    await (await scene.connect()).closed()
    await using full = await setRaw({ sessionsMax: 0 })
    await (await full.connect()).closed()
  })

  test('where the server is gone, and nobody will read what it still sends', async () => {
    await using scene = await setRaw()
    const { wire, server } = await meet(scene)
    server.socket.resetAndDestroy()
    await wire.closed()
  })

  test('at a shutdown, when its time is over', async () => {
    await using scene = await setRaw()
    const { wire, server } = await meet(scene)
    server.send(bytesOf('hello'))
    await reads(wire, 'hello')
    const drained = scene.service.listener.drain(1)
    await wire.closed()
    wire.destroy()
    await drained
  })
})
