/** Redis and MariaDB behind `protocol: raw`, with real clients, and with plugins that look. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { RedisClient } from 'bun'
import { findProgram } from '../bench/programs.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { hasMariadb, type RunningMariadb, startMariadb } from '../kit/mariadb.ts'
import { type RunningRedis, redisProgram, startRedis } from '../kit/redis.ts'
import { metric, mustBeSound, startBefore } from '../kit/traffic.ts'
import { buildPlugins, entryOf, scripted } from './plugins-scene.ts'

setDefaultTimeout(60_000)

const MIB = 1_048_576
const redisCli = findProgram('redis-cli') ?? findProgram('valkey-cli')

const before = (port: number, plugins: boolean): Promise<RunningGateway> =>
  startBefore(
    { host: '127.0.0.1', port },
    {
      server: { protocol: 'raw' },
      ...(plugins ? { plugins: { plugins: [scripted(), entryOf('raw.wasm')] } } : {}),
    },
  )

/** A gateway that lets all pass, and one with a plugin of each runtime. */
const WAYS = [
  { way: 'without plugins', isWatched: false },
  { way: 'with plugins of both runtimes', isWatched: true },
] as const

describe.skipIf(redisProgram === null)('Redis (needs redis-server or valkey-server)', () => {
  let redis: RunningRedis
  const gateways: RunningGateway[] = []
  beforeAll(async () => {
    await buildPlugins()
    redis = await startRedis()
    for (const { isWatched } of WAYS) gateways.push(await before(redis.port, isWatched))
  })
  afterAll(async () => {
    for (const gateway of gateways) {
      await mustBeSound(gateway)
      expect((await gateway.stop()).status).toBe(0)
    }
    await redis[Symbol.asyncDispose]()
  })

  for (const [at, { way }] of WAYS.entries()) {
    const client = (): RedisClient =>
      new RedisClient(`redis://127.0.0.1:${gateways[at]?.port}`, { autoReconnect: false })
    const cli = (words: readonly string[], stdin: string): Promise<string> => {
      const args = [redisCli ?? '', '-p', String(gateways[at]?.port), ...words]
      const child = Bun.spawn(args, { stdin: Buffer.from(stdin), stdout: 'pipe' })
      return new Response(child.stdout).text()
    }

    test.skipIf(redisCli === null)(
      `takes a pipeline of 20,000 commands, ${way} (needs redis-cli)`,
      async () => {
        const commands = Array.from({ length: 20_000 }, (_, n) => `SET p${n % 100} ${n}\r\n`)
        expect(await cli(['--pipe'], commands.join(''))).toContain('errors: 0, replies: 20000')
        expect(await cli(['GET', 'p99'], '')).toBe('19999\n')
      },
    )

    test(`keeps big values as they are, ${way}`, async () => {
      const redis = client()
      const value = crypto.getRandomValues(Buffer.alloc(65_536)).toString('hex').repeat(64)
      expect(value.length).toBe(8 * MIB)
      await redis.set('big', value)
      expect((await redis.get('big')) === value).toBeTrue()
      redis.close()
    })

    test(`brings what is published, in order, ${way}`, async () => {
      const [ears, mouth] = [client(), client()]
      const heard: string[] = []
      const all = Promise.withResolvers<void>()
      await ears.subscribe('news', (message) => {
        heard.push(message)
        if (heard.length === 1000) all.resolve()
      })
      const sent = Array.from({ length: 1000 }, (_, number) => `message ${number}`)
      await Promise.all(sent.map((message) => mouth.publish('news', message)))
      await all.promise
      expect(heard).toEqual(sent)
      ears.close()
      mouth.close()
    })
  }

  test('has plugins see, and change, what goes either way', async () => {
    const watched = new RedisClient(`redis://127.0.0.1:${gateways[1]?.port}`)
    await watched.set('word', 'secret')
    expect(await watched.get('word')).toBe('******')
    await watched.set('mark', '/*replace*/ original')
    expect(await redis.ask('GET', 'mark')).toBe('/*replace*/ replaced')
    watched.close()
    expect(await metric(gateways[1]!, 'postern_step_failures_total')).toBe(0)
  })
})

describe.skipIf(!hasMariadb)('MariaDB (needs mariadb-server and mariadb-client)', () => {
  let mariadb: RunningMariadb
  const gateways: RunningGateway[] = []
  beforeAll(async () => {
    await buildPlugins()
    mariadb = await startMariadb()
    for (const { isWatched } of WAYS) gateways.push(await before(mariadb.port, isWatched))
  })
  afterAll(async () => {
    for (const gateway of gateways) {
      await mustBeSound(gateway)
      expect((await gateway.stop()).status).toBe(0)
    }
    await mariadb[Symbol.asyncDispose]()
  })
  const ask = async (at: number, sql: string, args: readonly string[] = []): Promise<string> => {
    const { status, stdout, stderr } = await mariadb.ask(gateways[at]!.port, sql, args)
    if (status !== 0) throw new Error(stderr)
    return stdout.trim()
  }

  for (const [at, { way }] of WAYS.entries()) {
    test(`speaks first, lets its client in and answers, ${way}`, async () => {
      const args = ['--skip-ssl']
      expect(await ask(at, "select 6 * 7; show status like 'ssl_cipher'", args)).toBe(
        '42\nSsl_cipher',
      )
      const { status, stderr } = await mariadb.ask(gateways[at]!.port, 'select 1', ['-pwrong'])
      expect(status).toBe(1)
      expect(stderr).toContain('Access denied')
    })

    test(`keeps what is long as it is, ${way}`, async () => {
      const sql = "set @big = repeat('0123456789abcdef', 1048576); select md5(@big), length(@big)"
      const [md5, length] = (await ask(at, sql)).split('\t')
      expect(length).toBe(String(16 * MIB))
      const { stdout } = await mariadb.ask(
        gateways[at]!.port,
        "select repeat('0123456789abcdef', 1048576)",
      )
      const came = stdout.trim()
      expect(came.length).toBe(16 * MIB)
      expect(new Bun.CryptoHasher('md5').update(came).digest('hex')).toBe(md5!)
    })

    test(`is spoken to in TLS, which is between the two alone, ${way}`, async () => {
      const args = [`--ssl-ca=${mariadb.authorityPath}`, '--ssl-verify-server-cert']
      const cipher = await ask(at, "show status like 'ssl_cipher'", args)
      expect(cipher).toMatch(/^Ssl_cipher\tTLS_/)
      // What plugins get of it is sealed.
      expect(await ask(at, "select concat('sec', 'ret')", args)).toBe('secret')
    })
  }

  test('has plugins see, and change, rows in plain text', async () => {
    const args = ['--skip-ssl']
    expect(await ask(1, "select concat('sec', 'ret')", args)).toBe('******')
    expect(await ask(1, "select '/*replace*/ original'", args)).toBe('/*replace*/ replaced')
  })
})
