import { expect, test } from 'bun:test'
import { pino } from 'pino'
import { buildTestPlugins } from '../scripts/wasm.ts'
import { loadConfig } from '../src/config/load.ts'
import type { Generation } from '../src/generation.ts'
import { Generations } from '../src/generations.ts'
import { Lasting } from '../src/lasting.ts'
import { createMeter } from '../src/metrics/meter.ts'
import type { Plugin } from '../src/plugins/plugin.ts'
import { fixture } from './e2e/plugins-scene.ts'
import { query } from './kit/frontend.ts'
import { connectWire } from './kit/wire.ts'
import { server as says } from './protocols/postgres/stage.ts'
import { startFakeServer } from './tcp/fake-server.ts'
import { ANN, GREETING } from './tcp/scene.ts'

const RELOADS = 40
const ABSENT = { kind: 'absent' } as const

function loaded(port: number, turn: number) {
  const text = JSON.stringify({
    servers: { default: { address: '127.0.0.1:0', sessionsMax: 100 + turn } },
    clients: { default: { writes: { address: `127.0.0.1:${port}` } } },
  })
  const localPath = fixture('words-assembly.wasm')
  const words = { name: 'words', localPath, config: { words: `word${turn}` } }
  const texts: Readonly<Record<string, string>> = {
    'postern.yaml': text,
    'postern_plugins.yaml': JSON.stringify({ plugins: [words] }),
  }
  const readFile = (path: string) => {
    const found = texts[path]
    return found === undefined ? ABSENT : ({ kind: 'text', text: found } as const)
  }
  return loadConfig({ env: {}, readFile })
}

test('a generation that was taken down is forgotten, while sessions go on', async () => {
  await buildTestPlugins()
  const log = pino({ level: 'silent' })
  const surroundings = {
    log,
    meter: createMeter({ log }),
    dev: true,
    runFolder: () => '/nowhere',
  }
  const generations = new Generations(surroundings, new Lasting(log))
  const database = await startFakeServer()
  const { services } = await generations.first(loaded(database.port, 0), { everyPlugin: false })
  const { listener } = services[0]!
  listener.start()
  const port = Number(listener.address.split(':')[1])
  const wire = await connectWire({ host: '127.0.0.1', port })
  wire.send(ANN)
  const end = await database.next()
  await end.read(ANN.length)
  end.send(GREETING)
  await wire.readUntil('ReadyForQuery')

  const earlier: WeakRef<Generation>[] = []
  const plugins: WeakRef<Plugin>[] = []
  for (let turn = 1; turn <= RELOADS; turn++) {
    const { current } = generations
    earlier.push(new WeakRef(current!))
    plugins.push(new WeakRef(current!.registry.plugins[0]!))
    generations.takeOver(await generations.prepare(loaded(database.port, turn)))
    wire.send(query('select'))
    await end.read(query('select').length)
    end.send(says.complete('SELECT'), says.ready())
    await wire.readUntil('ReadyForQuery')
  }
  while (generations.live.length > 1) await new Promise(setImmediate)
  for (let turn = 0; turn < 5; turn++) {
    await Bun.sleep(1)
    Bun.gc(true)
  }
  // A collector that looks for pointers on the stack may take a few for alive.
  for (const gone of [earlier, plugins]) {
    const alive = gone.filter((ref) => ref.deref() !== undefined).length
    expect(alive).toBeLessThan(RELOADS / 4)
  }
  wire.destroy()
  await listener.drain(0)
  await generations.stop()
  await database[Symbol.asyncDispose]()
})
