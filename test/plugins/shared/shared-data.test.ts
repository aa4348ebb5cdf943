/** Two gateways' worth of plugin data, shared through a real Redis or Valkey. */
import { afterEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import type { SharingSettings } from '../../../src/plugins/shared/settings.ts'
import { SharedData } from '../../../src/plugins/shared/shared-data.ts'
import { type PluginStore, PluginStores } from '../../../src/plugins/wasm/store.ts'
import { makeAuthority, makePemFolder } from '../../kit/certificates.ts'
import { freePort } from '../../kit/free-port.ts'
import { type RunningRedis, redisProgram, startRedis } from '../../kit/redis.ts'
import { startSlowProxy } from '../../kit/slow-proxy.ts'
import { until } from '../../kit/traffic.ts'

setDefaultTimeout(30_000)

const STALENESS_MAX_MS = 1000
const BUDGET = 1_000_000
const SEED = 20_261_126
const TURNS = process.env['POSTERN_LONG'] === '1' ? 20_000 : 1000

interface Gateway {
  readonly shared: SharedData
  readonly store: PluginStore
  readonly said: string[]
}

const running: Gateway[] = []

function gateway(port: number, over: Partial<SharingSettings> = {}, kvBytesMax = BUDGET): Gateway {
  const said: string[] = []
  const note = (sentence: string): void => void said.push(sentence)
  const shared = new SharedData({ warn: note, info: note })
  const stores = new PluginStores()
  stores.sharing = shared
  const store = stores.of('counter', kvBytesMax, true)
  shared.share({
    url: `redis://127.0.0.1:${port}/3`,
    place: 'redis',
    prefix: 'test',
    authorities: null,
    stalenessMaxMs: STALENESS_MAX_MS,
    timeoutMs: 1000,
    queuedMax: 1000,
    ...over,
  })
  const made = { shared, store, said }
  running.push(made)
  return made
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const textIn = ({ store }: Gateway, key: string): string | undefined => {
  const value = store.get(key)
  return value === undefined ? undefined : new TextDecoder().decode(value)
}
const seen = (gateway: Gateway, key: string, text: string | undefined): Promise<void> =>
  until(`${key} is ${text}`, () => textIn(gateway, key) === text)
const isUp = (gateway: Gateway): Promise<void> =>
  until('it is up', () => gateway.shared.report?.isUp === true)

/** Two that have met: what either writes comes to the other by message. */
async function two(redis: RunningRedis): Promise<readonly [Gateway, Gateway]> {
  const pair = [gateway(redis.port), gateway(redis.port)] as const
  await Promise.all(pair.map(({ shared }) => shared.first()))
  return pair
}

afterEach(async () => {
  await Promise.all(running.splice(0).map(({ shared }) => shared.stop()))
})

describe.skipIf(redisProgram === null)('shared data (needs redis-server or valkey-server)', () => {
  test('what one writes or deletes the other reads, bytes, keys and time as they are', async () => {
    await using redis = await startRedis()
    const [one, other] = await two(redis)
    const all = Uint8Array.from({ length: 256 }, (_, byte) => byte)
    one.store.set('ä*[?]\\ key', all, 0)
    one.store.set('soon gone', bytes('x'), 600)
    await until('it is there', () => other.store.get('ä*[?]\\ key') !== undefined)
    expect(other.store.get('ä*[?]\\ key')).toEqual(all)
    await seen(other, 'soon gone', 'x')
    other.store.delete('ä*[?]\\ key')
    await seen(one, 'ä*[?]\\ key', undefined)
    await seen(other, 'soon gone', undefined)
    await until('Redis too', async () => {
      const keys = await redis.ask(
        'EVAL',
        "return redis.call('SELECT', 3) and redis.call('KEYS', '*:k:*')",
        '0',
      )
      return Array.isArray(keys) && keys.length === 0
    })
  })

  test('one that comes later has all, as soon as it is ready', async () => {
    await using redis = await startRedis()
    const first = gateway(redis.port)
    await first.shared.first()
    for (let key = 0; key < 900; key++) first.store.set(`k${key}`, bytes(`${key}`), 0)
    await until('all is sent', () => first.shared.report?.queued === 0)
    const late = gateway(redis.port)
    await late.shared.first()
    expect(textIn(late, 'k0')).toBe('0')
    expect([...late.store.entries()]).toHaveLength(900)
  })

  test('where both write one key again and again, both end with the same', async () => {
    await using redis = await startRedis()
    const [one, other] = await two(redis)
    for (let turn = 0; turn < 300; turn++) {
      one.store.set('same', bytes(`one ${turn}`), 0)
      if (turn % 3 === 0) other.store.delete('same')
      else other.store.set('same', bytes(`other ${turn}`), 0)
      if (turn % 7 === 0) await Bun.sleep(1)
    }
    const still = (): boolean =>
      one.shared.report?.queued === 0 && other.shared.report?.queued === 0
    await until('all is sent', still)
    await until('both agree', () => textIn(one, 'same') === textIn(other, 'same'))
    await Bun.sleep(STALENESS_MAX_MS)
    expect(textIn(one, 'same')).toBe(textIn(other, 'same'))
  })

  test('whatever is written where, and however connections are cut, all end the same', async () => {
    await using redis = await startRedis()
    const three = [gateway(redis.port), gateway(redis.port), gateway(redis.port)]
    await Promise.all(three.map(({ shared }) => shared.first()))
    let state = SEED
    const random = (below: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
      return (state >>> 8) % below
    }
    for (let turn = 0; turn < TURNS; turn++) {
      const { store } = three[random(3)]!
      const key = `k${random(20)}`
      if (random(4) === 0) store.delete(key)
      else store.set(key, bytes(`${turn}`), random(5) === 0 ? 20 : 0)
      if (random(5) === 0) await Bun.sleep(random(4))
      if (turn % 100 === 99)
        await redis.ask('CLIENT', 'KILL', 'TYPE', random(2) ? 'pubsub' : 'normal')
    }
    const content = ({ store }: Gateway): string =>
      JSON.stringify([...store.entries()].map(([key, value]) => [key, `${value}`]).sort())
    await until('all is sent', () => three.every(({ shared }) => shared.report?.queued === 0))
    await Bun.sleep(2 * STALENESS_MAX_MS)
    await until('all agree', () => new Set(three.map(content)).size === 1)
    const late = gateway(redis.port)
    await until('so does Redis', () => content(late) === content(three[0]!))
  })

  test('a message that was lost is made up for within the bound', async () => {
    await using redis = await startRedis()
    const [one, other] = await two(redis)
    one.store.set('a', bytes('1'), 0)
    one.store.set('b', bytes('1'), 0)
    await seen(other, 'b', '1')
    // What a gateway would write, but nobody is told.
    await redis.ask(
      'EVAL',
      `redis.call('SELECT', 3) local v = redis.call('INCR', KEYS[1])
       redis.call('SET', KEYS[2], string.format('%.0f', v) .. ' Mg==') redis.call('DEL', KEYS[3])
       redis.call('INCR', KEYS[1])`,
      '3',
      'test:{counter}:v',
      'test:{counter}:k:a',
      'test:{counter}:k:b',
    )
    const since = performance.now()
    await seen(other, 'a', '2')
    await seen(other, 'b', undefined)
    await seen(one, 'a', '2')
    expect(performance.now() - since).toBeLessThan(10 * STALENESS_MAX_MS)
  })

  test('Redis killed: both go on with what they have; back, it gets all again', async () => {
    await using redis = await startRedis()
    const [one, other] = await two(redis)
    one.store.set('before', bytes('1'), 0)
    await seen(other, 'before', '1')
    await redis.kill()
    await until('it is noticed', () => one.shared.report?.isUp === false)
    one.store.set('meanwhile', bytes('2'), 0)
    other.store.set('too', bytes('3'), 0)
    expect(textIn(other, 'before')).toBe('1')
    await redis.restart()
    await Promise.all([isUp(one), isUp(other)])
    await seen(other, 'meanwhile', '2')
    await seen(one, 'too', '3')
    expect(textIn(one, 'before')).toBe('1')
    expect(textIn(other, 'before')).toBe('1')
    const late = gateway(redis.port)
    await seen(late, 'before', '1')
    expect(one.said.filter((line) => line.includes('not shared'))).toHaveLength(1)
    expect(one.shared.report?.lost).toBeGreaterThan(0)
  })

  test('a Redis that is slow or hangs keeps nobody waiting, and is made up for', async () => {
    await using redis = await startRedis()
    const proxy = await startSlowProxy(redis.port)
    const slow = gateway(proxy.port, { timeoutMs: 300 })
    const other = gateway(redis.port)
    await Promise.all([slow.shared.first(), other.shared.first()])
    proxy.delayMs = 100
    slow.store.set('late', bytes('1'), 0)
    await seen(other, 'late', '1')
    proxy.delayMs = Number.POSITIVE_INFINITY
    await until('it is noticed', () => slow.shared.report?.isUp === false)
    expect(slow.said.join()).toContain('no answer within 300 ms')
    const since = performance.now()
    for (let key = 0; key < 100; key++) slow.store.set(`k${key}`, bytes('2'), 0)
    expect(performance.now() - since).toBeLessThan(100)
    other.store.set('other', bytes('3'), 0)
    proxy.delayMs = 0
    await seen(slow, 'other', '3')
    await seen(other, 'k99', '2')
    proxy.stop()
  })

  test('a Redis that is full is told so, and takes what waits when there is room', async () => {
    await using redis = await startRedis(['--maxmemory-policy', 'noeviction'])
    const [one, other] = await two(redis)
    one.store.set('before', bytes('1'), 0)
    await seen(other, 'before', '1')
    await redis.ask('CONFIG', 'SET', 'maxmemory', '1')
    one.store.set('full', bytes('2'), 0)
    await until('it is told', () => one.said.join().includes('it is full (OOM)'))
    expect(one.shared.report?.isUp).toBe(false)
    expect(one.shared.report?.refusedThere).toBeGreaterThan(0)
    expect(textIn(one, 'full')).toBe('2')
    await Bun.sleep(2 * STALENESS_MAX_MS)
    // What is not sent yet is not taken for deleted.
    expect(textIn(one, 'full')).toBe('2')
    await redis.ask('CONFIG', 'SET', 'maxmemory', '0')
    await seen(other, 'full', '2')
    await isUp(one)
    expect(one.said.filter((line) => line.includes('OOM'))).toHaveLength(1)
  })

  test('a queue that is full is counted, and what was not sent gives way', async () => {
    await using redis = await startRedis()
    const proxy = await startSlowProxy(redis.port)
    const slow = gateway(proxy.port, { queuedMax: 10, timeoutMs: 200 })
    await slow.shared.first()
    proxy.delayMs = Number.POSITIVE_INFINITY
    await until('it is noticed', () => slow.shared.report?.isUp === false)
    for (let key = 0; key < 50; key++) slow.store.set(`k${key}`, bytes('1'), 0)
    expect(slow.shared.report?.unqueued).toBe(40)
    proxy.delayMs = 0
    await until('the rest has gone', () => textIn(slow, 'k49') === undefined)
    expect(textIn(slow, 'k9')).toBe('1')
    proxy.stop()
  })

  test('foreign values are checked and bounded', async () => {
    await using redis = await startRedis()
    const one = gateway(redis.port, {}, 3000)
    await one.shared.first()
    one.store.set('own', bytes('1'), 0)
    await until('it is sent', () => one.shared.report?.queued === 0)
    const put = (key: string, value: string): Promise<unknown> =>
      redis.ask(
        'EVAL',
        `redis.call('SELECT', 3) redis.call('INCR', KEYS[1]) redis.call('SET', KEYS[2], ARGV[1])`,
        '2',
        'test:{counter}:v',
        `test:{counter}:k:${key}`,
        value,
      )
    await put('words', 'no version at all')
    await put('base', '99 not*base64')
    await put('large', `9999999999999999 ${'A'.repeat(100_000)}`)
    await put('room', `1999999999999999 ${Buffer.alloc(2900).toString('base64')}`)
    await put('good', '1999999999999998 Mg==')
    await redis.ask('PUBLISH', 'test:changes', 'no message of ours')
    await redis.ask('PUBLISH', 'test:changes', '12 ["x","counter",7,0,"Mg=="]')
    await seen(one, 'good', '2')
    expect(textIn(one, 'own')).toBe('1')
    for (const key of ['words', 'base', 'large']) expect(textIn(one, key)).toBeUndefined()
    let size = 0
    for (const [key, value] of one.store.entries()) size += key.length * 2 + value.length
    expect(size).toBeLessThanOrEqual(3000)
    await until('all is counted', () => (one.shared.report?.malformed ?? 0) >= 5)
  })

  test('a plugin whose data are local shares nothing', async () => {
    await using redis = await startRedis()
    const [one] = await two(redis)
    const stores = new PluginStores()
    stores.sharing = one.shared
    const own = stores.of('cache', BUDGET, false)
    own.set('a', bytes('1'), 0)
    await Bun.sleep(100)
    expect(
      await redis.ask('EVAL', "redis.call('SELECT', 3) return #redis.call('KEYS', '*cache*')", '0'),
    ).toBe(0)
  })

  test('a wrong password is no end: it is told, but not shown, and tried again', async () => {
    await using redis = await startRedis(['--requirepass', 'right'])
    const wrong = gateway(redis.port, { url: `redis://:wr0ng@127.0.0.1:${redis.port}` })
    await until('it is told', () => wrong.said.length > 0)
    expect(wrong.said[0]).toContain('does not let us in')
    expect(wrong.said.join()).not.toContain('wr0ng')
    const right = gateway(redis.port, { url: `redis://:right@127.0.0.1:${redis.port}` })
    await isUp(right)
  })

  test('by TLS the certificate is checked against the authorities that are named', async () => {
    using folder = makePemFolder()
    const [authority, stranger] = [await makeAuthority(), await makeAuthority('CN=stranger')]
    const issued = await authority.issue({ subject: 'CN=redis', addresses: ['127.0.0.1'] })
    const { certFile, keyFile } = folder.put('redis', issued)
    const tlsPort = await freePort()
    await using _redis = await startRedis([
      ...['--tls-port', String(tlsPort), '--tls-cert-file', certFile, '--tls-key-file', keyFile],
      ...['--tls-auth-clients', 'no'],
    ])
    const url = `rediss://127.0.0.1:${tlsPort}`
    const one = gateway(tlsPort, { url, authorities: authority.certificate })
    const other = gateway(tlsPort, { url, authorities: authority.certificate })
    const wrong = gateway(tlsPort, { url, authorities: stranger.certificate })
    const unnamed = gateway(tlsPort, { url })
    await isUp(one)
    one.store.set('k', bytes('1'), 0)
    await seen(other, 'k', '1')
    for (const refusing of [wrong, unnamed]) {
      await until('it is told', () => refusing.said.length > 0)
      expect(refusing.said[0]).toContain('not shared')
      expect(refusing.shared.report?.isUp).toBe(false)
    }
  })
})
