/** The connections themselves: made, told of, lost, and ended in a bounded time. */
import { expect, setDefaultTimeout, test } from 'bun:test'
import { SharedCopy } from '../../../src/plugins/shared/copy.ts'
import { Link } from '../../../src/plugins/shared/link.ts'
import { PluginStore } from '../../../src/plugins/wasm/store.ts'
import { freePort } from '../../kit/free-port.ts'
import { redisProgram, startRedis } from '../../kit/redis.ts'
import { until } from '../../kit/traffic.ts'

setDefaultTimeout(30_000)

function stage(port: number) {
  const counts = { lost: 0, refusedThere: 0, readings: 0, malformed: 0 }
  const copyCounts = { sent: 0, received: 0, unqueued: 0, refused: 0 }
  const said: string[] = []
  const settings = {
    url: `redis://127.0.0.1:${port}`,
    place: '',
    prefix: 'link',
    authorities: null,
    stalenessMaxMs: 400,
    timeoutMs: 300,
    queuedMax: 100_000,
  }
  const copies = new Map<string, SharedCopy>()
  const changed = (isShared: boolean, why: string): void => void said.push(`${isShared} ${why}`)
  const link = new Link({ settings, copies, counts, changed })
  const store = new PluginStore({ bytesMax: 10_000_000, keysMax: 100_000 })
  const wake = (): void => link.wake()
  copies.set('p', new SharedCopy('p', store, { queuedMax: 100_000, counts: copyCounts, wake }))
  return { link, store, counts, copyCounts, said }
}

test('a store that is not there is tried again and again, and told of once', async () => {
  const { link, counts, said } = stage(await freePort())
  const ran = link.run()
  await until('it was tried', () => counts.lost >= 3)
  expect(said).toEqual(['false it cannot be reached, or does not let us in'])
  await link.stop(1000)
  await ran
})

test.skipIf(redisProgram === null)(
  'at the end all that waits is sent, many values at a time (needs redis-server)',
  async () => {
    await using redis = await startRedis()
    const { link, store, copyCounts, said } = stage(redis.port)
    const ran = link.run()
    await link.first
    expect(said).toEqual(['true '])
    for (let key = 0; key < 2000; key++) store.set(`k${key}`, new Uint8Array(1000), 0)
    await link.stop(5000)
    await ran
    expect(copyCounts.sent).toBe(2000)
    expect(await redis.ask('DBSIZE')).toBe(2002)
  },
)

test.skipIf(redisProgram === null)(
  'where nothing changes nothing is read, only compared (needs redis-server)',
  async () => {
    await using redis = await startRedis()
    const { link, store, counts } = stage(redis.port)
    const ran = link.run()
    await link.first
    store.set('k', new Uint8Array(1), 0)
    const since = link.wholeAt
    await until('it was compared some times', () => link.wholeAt > since + 500)
    expect(counts.readings).toBe(1)
    await link.stop(0)
    await ran
  },
)
