/**
 * Restarts by the hundred of a plugin on HashiCorp's library: what each leaves behind, in this
 * process and beside it. `POSTERN_LONG` makes it a thousand.
 */
import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { createGrpcPlugin, STABLE_MS } from '../../../src/plugins/grpc/plugin.ts'
import type { Plugin } from '../../../src/plugins/plugin.ts'
import { buildGoPlugin } from '../../fixtures/grpc/build.ts'
import { Folder, KeptLog, specOf, surroundingsOf } from '../../fixtures/grpc/surroundings.ts'
import { TurnedClock } from '../turned-clock.ts'

const IS_LONG = process.env['POSTERN_LONG'] !== undefined
const RESTARTS = IS_LONG ? 1000 : 20
/** Restarts before the first look: compilers and heaps have settled by then. */
const WARM = IS_LONG ? 200 : 10
setDefaultTimeout(RESTARTS * 5000 + 600_000)

const folder = new Folder()
afterAll(() => folder.remove())

/** Processes that this one has started and that are not gone. */
function children(): readonly string[] {
  const text = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8')
  return text.split(' ').filter((pid) => pid.trim() !== '')
}

interface Holdings {
  readonly descriptors: number
  readonly children: number
  readonly sockets: number
  readonly bytes: number
}

async function holdings(): Promise<Holdings> {
  // What is closed is closed at the next turns of the loop.
  for (let turn = 0; turn < 20; turn++) {
    await new Promise<void>((resolve) => setImmediate(resolve))
    Bun.gc(true)
  }
  return {
    descriptors: readdirSync('/proc/self/fd').length,
    children: children().length,
    sockets: readdirSync(folder.path).length,
    bytes: process.memoryUsage.rss(),
  }
}

/** Kills the process of a plugin and waits for the next one. */
async function restart(plugin: Plugin, clock: TurnedClock): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  plugin.onStateChange = (state) => {
    if (state === 'ready') resolve()
  }
  // Ready for so long, it begins a new row of failures: the next restart does not wait.
  clock.turn(STABLE_MS)
  process.kill(plugin.status().pid!, 'SIGKILL')
  await promise
}

describe.skipIf(Bun.which('go') === null)('hundreds of restarts (needs Go)', () => {
  test('leave no process, no descriptor, no socket and no memory', async () => {
    const clock = new TurnedClock()
    const path = (await buildGoPlugin()) ?? ''
    const surroundings = { ...surroundingsOf(new KeptLog(), folder), clock }
    const plugin = createGrpcPlugin(specOf(path), surroundings)
    await plugin.start()
    for (let round = 0; round < WARM; round++) await restart(plugin, clock)
    const before = await holdings()
    for (let round = WARM; round < RESTARTS; round++) await restart(plugin, clock)
    const after = await holdings()
    if (IS_LONG) process.stdout.write(`${JSON.stringify({ before, after })}\n`)
    expect(plugin.status()).toMatchObject({ state: 'ready', restarts: RESTARTS })
    expect(after).toMatchObject({
      descriptors: before.descriptors,
      children: before.children,
      sockets: before.sockets,
    })
    if (IS_LONG) expect(after.bytes).toBeLessThan(1.1 * before.bytes)
    await plugin.stop()
    expect(children()).toHaveLength(before.children - 1)
    expect(readdirSync(folder.path)).toEqual([])
  })
})
