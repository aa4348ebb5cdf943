/**
 * Chains of plugins of both runtimes: the order of the file is the order of the run in both
 * directions, what one replaces the next one gets, and what one decides no other is asked about.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Client } from 'pg'
import { describe as ask, bind, concat, execute, parse, query, sync } from '../kit/frontend.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import {
  bringTo,
  buildPlugins,
  type Entry,
  entryOf,
  exchange,
  isUsable,
  login,
  STATUSES,
  type Status,
  scripted,
  spokenDirectly,
  startWith,
  stepFailures,
} from './plugins-scene.ts'

type Runtime = 'wasm' | 'pdk' | 'grpc'

/** The chains, first to last; each plugin's tag is a letter, by its place. */
const CHAINS: Readonly<Record<string, readonly Runtime[]>> = {
  'WASM before gRPC': ['wasm', 'grpc'],
  'gRPC before WASM': ['grpc', 'wasm'],
  'two of each, taking turns': ['wasm', 'grpc', 'pdk', 'grpc'],
  'two of each, gRPC outside': ['grpc', 'pdk', 'wasm', 'grpc'],
}
const TAGS = ['a', 'b', 'c', 'd']

const REFUSALS: Readonly<Record<Runtime, string>> = {
  wasm: 'ERROR 42501 denied by verdicts | a marker said so | leave it out',
  pdk: 'ERROR 42501 denied by verdicts | a marker said so | leave it out',
  grpc: 'ERROR 42000 Request terminated | Policy terminated the request | -',
}
const ANSWERS: Readonly<Record<Runtime, readonly string[]>> = {
  wasm: ['RESPONDED'],
  pdk: ['RESPONDED'],
  grpc: ['RowDescription', 'row from the plugin', 'SELECT 1'],
}

function entryFor(runtime: Runtime, position: number): Entry {
  const tag = TAGS[position]!
  if (runtime === 'grpc') return scripted({ TAG: tag, NAME: tag }, { name: tag })
  const file = runtime === 'wasm' ? 'verdicts.wasm' : 'verdicts-pdk.wasm'
  return entryOf(file, { name: tag, config: { tag } })
}

const PARTS = [bind(), ask(), execute()]
const WAYS: Readonly<Record<string, (sql: string) => readonly Uint8Array[]>> = {
  simple: (sql) => [query(sql)],
  extended: (sql) => [parse({ sql }), ...PARTS, sync()],
}
/** Three statements at once, of which the one in the middle is in question. */
const pipelined = (sql: string): readonly Uint8Array[] => [
  query("select 'before'"),
  parse({ sql }),
  ...PARTS,
  parse({ sql: "select 'behind'" }),
  ...PARTS,
  sync(),
  query("select 'after'"),
]

let postgres: PostgresServer
const gateways = new Map<string, RunningGateway>()

beforeAll(async () => {
  await buildPlugins()
  postgres = await startPostgres()
  for (const [name, runtimes] of Object.entries(CHAINS)) {
    gateways.set(name, await startWith(postgres, { plugins: runtimes.map(entryFor) }))
  }
}, 120_000)
afterAll(async () => {
  for (const gateway of gateways.values()) await gateway.stop()
  await postgres.stop()
})

const direct = (status: Status, messages: readonly Uint8Array[], replies: number) =>
  spokenDirectly(postgres, status, messages, replies)

for (const [chain, runtimes] of Object.entries(CHAINS)) {
  describe(chain, () => {
    const sessionOf = async (status: Status = 'I') => {
      const wire = await login(gateways.get(chain)!, postgres)
      await bringTo(wire, status)
      return wire
    }
    const all = TAGS.slice(0, runtimes.length).join('')
    // The long chains prove what is beside the pairs: that more than two keep to it.
    const statuses: readonly Status[] = runtimes.length === 2 ? ['I', 'T', 'E'] : ['T']
    const free = '.'.repeat(2 * runtimes.length)

    for (const [way, messagesOf] of Object.entries(WAYS)) {
      test(`${way}: both directions run in the order of the file`, async () => {
        using wire = await sessionOf()
        // Each plugin takes the first free place, once on the way there and once on the way back.
        const read = await exchange(wire, messagesOf(`select 'trail[${free}]'`), 1)
        expect(read).toContain(`row trail[${all}${all}]`)
        // Put together by the server, the trail begins on the way back.
        const back = await exchange(wire, messagesOf(`select 'trail' || '[${free}]'`), 1)
        expect(back).toContain(`row trail[${all}${'.'.repeat(runtimes.length)}]`)
      })

      for (const [position, runtime] of runtimes.entries()) {
        const tag = TAGS[position]!
        const behind = TAGS[runtimes.length - 1]!
        for (const status of statuses) {
          const place = `${way}, ${STATUSES[status]}: plugin ${tag} (${runtime})`

          test(`${place} denies, and no other is asked`, async () => {
            using wire = await sessionOf(status)
            // A mark for the last plugin stands there too: it must not get to see it.
            const marks = `/*${tag}:deny*/ ${tag === behind ? '' : `/*${behind}:error*/`}`
            const failures = await stepFailures(gateways.get(chain)!, behind)
            const own = await direct(status, messagesOf('oracle_fail'), 1)
            const expected = own.map((said) =>
              said.includes('oracle_fail') ? REFUSALS[runtime] : said,
            )
            expect(expected).toContain(REFUSALS[runtime])
            expect(await exchange(wire, messagesOf(`select 1 ${marks}`), 1)).toEqual(expected)
            expect(await isUsable(wire)).toBeTrue()
            expect(await stepFailures(gateways.get(chain)!, behind)).toBe(failures)
          })

          test(`${place} answers, and no other is asked`, async () => {
            using wire = await sessionOf(status)
            const marks = `/*${tag}:respond*/ ${tag === behind ? '' : `/*${behind}:deny*/`}`
            const read = await exchange(wire, messagesOf(`select 1 ${marks}`), 1)
            expect(read).toEqual([...ANSWERS[runtime], `ready ${status}`])
            expect(await isUsable(wire)).toBeTrue()
          })
        }
      }
    }

    for (const [position, runtime] of runtimes.entries()) {
      const tag = TAGS[position]!
      for (const status of statuses) {
        const place = `pipelined, ${STATUSES[status]}: plugin ${tag} (${runtime})`
        test(`${place} denies as PostgreSQL fails`, async () => {
          using wire = await sessionOf(status)
          const own = await direct(status, pipelined('oracle_fail'), 3)
          const expected = own.map((said) =>
            said.includes('oracle_fail') ? REFUSALS[runtime] : said,
          )
          expect(await exchange(wire, pipelined(`select 1 /*${tag}:deny*/`), 3)).toEqual(expected)
          expect(await isUsable(wire)).toBeTrue()
        })
      }
    }

    test('what the first rewrites is what the others judge', async () => {
      using wire = await sessionOf()
      const first = TAGS[0]!
      const [, runtime] = runtimes
      // The rewritten statement of a WASM plugin bears no marks any more; gRPC keeps the rest.
      const sql = `select 'original' /*${first}:replace*/ /*b:deny*/`
      const read = await exchange(wire, [query(sql)], 1)
      const expected =
        runtimes[0] === 'grpc'
          ? [REFUSALS[runtime!]]
          : direct('I', [query('select \'replaced\' as "?column?"')], 1)
      expect(read.slice(0, -1)).toEqual((await expected).filter((said) => said !== 'ready I'))
      expect(await isUsable(wire)).toBeTrue()
    })

    for (const [position, runtime] of runtimes.entries()) {
      const tag = TAGS[position]!
      test(`plugin ${tag} (${runtime}) refuses a reply, and those behind it pass`, async () => {
        using wire = await sessionOf('T')
        const sql = runtime === 'grpc' ? "'deny' || ' reply'" : `'/*${tag}:de' || 'ny*/'`
        const rows = `select ${sql} from generate_series(1, 3)`
        const read = await exchange(wire, [...pipelined(rows), query("select 'last'")], 4)
        const told = read.filter((said) => /^(row|ERROR|ready)/.test(said))
        const refusal = REFUSALS[runtime]
        const sound = ['row before', 'ready T', refusal, 'ready T', 'row after', 'ready T']
        expect(told).toEqual([...sound, 'row last', 'ready T'])
        expect(await isUsable(wire)).toBeTrue()
      })
    }

    test('a driver runs statements through it, refused and not, in a transaction', async () => {
      const { host, port } = gateways.get(chain)!
      const { user, password, database } = postgres
      const client = new Client({ host, port, user, password, database })
      await client.connect()
      try {
        await client.query('create temp table kept (n int)')
        await client.query('begin')
        await client.query('insert into kept values ($1)', [1])
        const refused = client.query('insert into kept values ($1) /*b:deny*/', [2])
        const code = REFUSALS[runtimes[1]!].split(' ')[1]
        await expect(refused).rejects.toMatchObject({ code })
        // PostgreSQL's own word: the refusal has failed the transaction.
        await expect(client.query('select 1')).rejects.toMatchObject({ code: '25P02' })
        await client.query('rollback')
        await client.query('insert into kept values ($1)', [3])
        expect((await client.query('select n from kept')).rows).toEqual([{ n: 3 }])
      } finally {
        await client.end()
      }
    })
  })
}

test('an observer that is told of more at once does not widen what others judge', async () => {
  // Batches and whole replies for the one, single messages for the other.
  const plugins = [entryOf('marks.wasm'), scripted({ HOOKS: '17,19' })]
  await using gateway = await startWith(postgres, { plugins })
  using wire = await login(gateway, postgres)
  const begun = [parse({ sql: 'select 1' })]
  const refused = [bind({ portal: 'mark_deny' }), ask('portal', 'mark_deny'), execute('mark_deny')]
  expect(await exchange(wire, [concat(...begun, ...refused, sync())], 1)).toEqual([
    'ParseComplete',
    'ERROR 42501 no | - | -',
    'ready I',
  ])
  const all = [query('select 1'), query('/* mark_replace */'), query('/* mark_deny */')]
  expect(await exchange(wire, [concat(...all)], 3)).toEqual([
    ...(await direct('I', [query('select 1'), query('select 77')], 2)),
    'ERROR 42501 no | - | -',
    'ready I',
  ])
  expect(await isUsable(wire)).toBeTrue()
})
