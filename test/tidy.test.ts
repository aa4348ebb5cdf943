/** House style, as far as a program can see it. Exemptions stand here, each with its reason. */
import { beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { HOOKS, methodName } from '../src/hooks/hook.ts'
import { arrowFault } from './kit/arrows.ts'
import { readSources, type Source } from './kit/source.ts'

const ROOT = resolve(import.meta.dir, '..')
const FILE_LINES_MAX = 400
const FUNCTION_LINES_MAX = 60
const COLUMNS_MAX = 100
const FILE_BYTES_MAX = 500_000
const BANNED_NAMES = ['utils', 'util', 'helpers', 'helper', 'manager', 'data', 'info', 'handle']
/** Written in two parts, or this file would be at fault itself. */
const BANNED_WORDS = ['FIX' + 'ME', 'X' + 'XX']

/** Paths, each with the reason why a rule does not hold for it. */
type Exemptions = Readonly<Record<string, string>>

const EXEMPT_FROM_MIRRORED_TEST: Exemptions = {
  'src/main.ts': 'argv in, exit status out: only a process can show it, so test/e2e does',
}

/** Sources whose promises are kept by the test of another, which must exist: source, then test. */
const PROVED_ELSEWHERE: Readonly<Record<string, string>> = {
  'src/config/logins.ts': 'test/config/load.test.ts',
  'src/base/system-calls.ts': 'test/tcp/inherited.test.ts',
  'src/cli/worker.ts': 'test/e2e/workers.test.ts',
  'src/plugins/grpc/attached-running.ts': 'test/e2e/workers-plugins.test.ts',
  'src/plugins/grpc/attached.ts': 'test/e2e/workers-plugins.test.ts',
  'src/plugins/grpc/plugin-status.ts': 'test/plugins/grpc/plugin.test.ts',
  'src/scraping.ts': 'test/e2e/plugins-metrics.test.ts',
  'src/ending.ts': 'test/e2e/signals.test.ts',
  'src/reloads.ts': 'test/e2e/reload.test.ts',
  'src/succession.ts': 'test/e2e/upgrade.test.ts',
  'src/supervision.ts': 'test/e2e/workers.test.ts',
  'src/tickers.ts': 'test/e2e/hooks.test.ts',
  'src/cli/starter.ts': 'test/e2e/upgrade.test.ts',
  'src/tcp/sharing.ts': 'test/e2e/workers.test.ts',
  'src/tcp/sole-sockets.ts': 'test/tcp/estate.test.ts',
  'src/upgrade/predecessor.ts': 'test/e2e/upgrade.test.ts',
  'src/upgrade/starter.ts': 'test/e2e/upgrade.test.ts',
  'src/upgrade/successor.ts': 'test/e2e/upgrade.test.ts',
  'src/upgrade/upgrading.ts': 'test/e2e/upgrade.test.ts',
  'src/worker.ts': 'test/e2e/workers.test.ts',
  'src/workers/crew.ts': 'test/e2e/workers.test.ts',
  'src/workers/parent.ts': 'test/e2e/workers.test.ts',
  'src/workers/process.ts': 'test/e2e/workers.test.ts',
  'src/config/sharing.ts': 'test/config/load.test.ts',
  'src/metrics/sharing-families.ts': 'test/metrics/families.test.ts',
  'src/protocols/postgres/sharing/borrower.ts': 'test/protocols/postgres/sharing/carrier.test.ts',
  'src/protocols/postgres/sharing/passage.ts': 'test/protocols/postgres/sharing/carrier.test.ts',
  'src/protocols/postgres/sharing/refusals.ts': 'test/e2e/transactions-state.test.ts',
  'src/protocols/postgres/sharing/sharing.ts': 'test/protocols/postgres/sharing/carrier.test.ts',
  'src/protocols/postgres/sharing/terms.ts': 'test/e2e/transactions-state.test.ts',
  'src/tcp/lending.ts': 'test/e2e/transactions.test.ts',
  'src/metrics/pool-families.ts': 'test/metrics/families.test.ts',
  'src/protocols/postgres/answers.ts': 'test/protocols/postgres/client-refusals.test.ts',
  'src/tcp/admission.ts': 'test/e2e/pools.test.ts',
  'src/tcp/cancellation.ts': 'test/tcp/cancel.test.ts',
  'src/tcp/kept-server.ts': 'test/e2e/pools.test.ts',
  'src/tcp/pools.ts': 'test/e2e/pools.test.ts',
  'src/tcp/listening.ts': 'test/e2e/traffic-udp.test.ts',
  'src/tcp/udp/datagram-session.ts': 'test/tcp/udp/datagram-listener.test.ts',
  'src/tcp/udp/datagram-way.ts': 'test/tcp/udp/datagram-listener.test.ts',
  'src/tcp/server-owner.ts': 'test/tcp/session.test.ts',
  'src/tcp/server-pool.ts': 'test/e2e/pools.test.ts',
  'src/tcp/server-side.ts': 'test/e2e/pools.test.ts',
  'src/cli/postern.ts': 'test/e2e/cli.test.ts',
  'src/cli/run.ts': 'test/e2e/cli.test.ts',
  'src/gateway.ts': 'test/e2e/traffic.test.ts',
  'src/blocks.ts': 'test/e2e/reload.test.ts',
  'src/chains.ts': 'test/e2e/mixed.test.ts',
  'src/generation.ts': 'test/e2e/plugins.test.ts',
  'src/lasting.ts': 'test/e2e/reload.test.ts',
  'src/readings.ts': 'test/e2e/reload.test.ts',
  'src/plugin-counts.ts': 'test/e2e/plugins-metrics.test.ts',
  'src/metrics/generation-families.ts': 'test/metrics/families.test.ts',
  'src/metrics/plugin-families.ts': 'test/metrics/families.test.ts',
  'src/trial/bytes.ts': 'test/trial/messages.test.ts',
  'src/trial/connection.ts': 'test/trial/cases.test.ts',
  'src/trial/fields.ts': 'test/trial/messages.test.ts',
  'src/trial/happenings.ts': 'test/trial/cases.test.ts',
  'src/trial/subject.ts': 'test/trial/cases.test.ts',
  'src/plugins/wasm/prepare-thread.ts': 'test/plugins/wasm/prepare.test.ts',
}

const EXEMPT_FROM_PROCESS_EXIT: Exemptions = {
  'src/main.ts': 'the one place that ends the process',
}

/** Programs of their own, which are compiled or started apart from the gateway. */
const PROGRAMS = ['test/fixtures/', 'examples/']

const isGenerated = (path: string): boolean => /(\.gen|_pb)\.ts$/.test(path)

/** What can be looked at line by line, whatever its dialect. */
type Text = Pick<Source, 'path' | 'text' | 'lines'>

let sources: readonly Source[] = []
let written: readonly Source[] = []
/** With the sources of the WASM plugins, which are AssemblyScript and no part of the project. */
let texts: readonly Text[] = []
beforeAll(async () => {
  sources = await readSources(ROOT)
  written = sources.filter(({ path }) => !isGenerated(path))
  const guests = repositoryFiles('wasm-plugins').filter((path) => path.endsWith('.ts'))
  texts = [...written, ...guests.map(readText)]
}, 60_000)

function readText(path: string): Text {
  const text = readFileSync(join(ROOT, path), 'utf8')
  return { path, text, lines: text.split('\n') }
}

/** Every fault of every source as `path:line: words`, so that one run shows them all. */
function faults<Looked extends Text>(
  of: readonly Looked[],
  look: (source: Looked) => readonly { readonly line: number; readonly what: string }[],
): string[] {
  return of.flatMap((source) =>
    look(source).map(({ line, what }) => `${source.path}:${line}: ${what}`),
  )
}

test('the sources are found', () => {
  expect(sources.map(({ path }) => path)).toContain('src/hooks/hook.ts')
})

describe('imports', () => {
  test('go down the arrows only', () => {
    const found = faults(written, ({ path, imports }) =>
      imports
        .filter(({ isOurs }) => isOurs)
        .map(({ line, from }) => ({ line, what: arrowFault(path, from) ?? '' }))
        .filter(({ what }) => what !== ''),
    )
    expect(found).toEqual([])
  })

  test('of packages in src are those that package.json depends on, and Node or Bun', () => {
    const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
    const isAllowed = (from: string): boolean =>
      from === 'bun' ||
      /^(node|bun):/.test(from) ||
      Object.keys(dependencies).some((name) => from === name || from.startsWith(`${name}/`))
    const inSource = written.filter(({ path }) => path.startsWith('src/'))
    const found = faults(inSource, ({ imports }) =>
      imports
        .filter(({ isOurs, from }) => !isOurs && !isAllowed(from))
        .map(({ line, from }) => ({ line, what: `${from} is not in "dependencies"` })),
    )
    expect(found).toEqual([])
  })
})

describe('sizes', () => {
  test(`files have ${FILE_LINES_MAX} lines at most`, () => {
    const found = texts
      .map(({ path, text }) => ({ path, lines: text.trimEnd().split('\n').length }))
      .filter(({ lines }) => lines > FILE_LINES_MAX)
    expect(found).toEqual([])
  })

  test(`functions have ${FUNCTION_LINES_MAX} lines at most`, () => {
    const found = faults(written, ({ functions }) =>
      functions
        .filter(({ lines }) => lines > FUNCTION_LINES_MAX)
        .map(({ line, name, lines }) => ({ line, what: `${name} has ${lines} lines` })),
    )
    expect(found).toEqual([])
  })

  test(`lines have ${COLUMNS_MAX} columns at most`, () => {
    const found = faults(texts, ({ lines }) =>
      lines
        .map((text, index) => ({ line: index + 1, what: `${text.length} columns`, text }))
        .filter(({ text }) => text.length > COLUMNS_MAX),
    )
    expect(found).toEqual([])
  })

  test('no file is over 500 KB', () => {
    const found = repositoryFiles().filter(
      (path) => statSync(join(ROOT, path)).size > FILE_BYTES_MAX,
    )
    expect(found).toEqual([])
  })
})

describe('names and words', () => {
  test('no file or folder is called by a word that says nothing', () => {
    const found = repositoryFiles().filter((path) =>
      path.split('/').some((part) => BANNED_NAMES.includes(part.replace(/\..*$/, ''))),
    )
    expect(found).toEqual([])
  })

  test('no variable, function or type is called by a word that says nothing', () => {
    const found = faults(written, ({ declared }) =>
      declared.filter(({ what }) => BANNED_NAMES.includes(what.toLowerCase())),
    )
    expect(found).toEqual([])
  })

  test('nothing waits to be mended later', () => {
    const found = faults(texts, ({ lines }) =>
      lines
        .map((text, index) => ({ line: index + 1, what: text.trim() }))
        .filter(({ what }) => BANNED_WORDS.some((word) => what.includes(word))),
    )
    expect(found).toEqual([])
  })

  test('any, enum, namespace, default exports and the console are not used', () => {
    const found = faults(written, ({ constructs }) =>
      constructs.filter(({ what }) => what !== 'process.exit'),
    )
    expect(found).toEqual([])
  })

  test('the process is ended in main only', () => {
    const found = written
      .filter(({ path }) => !(path in EXEMPT_FROM_PROCESS_EXIT))
      .filter(({ path }) => !PROGRAMS.some((folder) => path.startsWith(folder)))
    expect(faults(found, (source) => processExits(source))).toEqual([])
  })

  test('a file says in its first lines why it exists', () => {
    const found = texts
      .filter(({ path }) => !/\.test\.ts$/.test(path))
      .filter(({ text }) => !/^(#!.*\n)?\s*\/[/*]/.test(text))
    expect(found.map(({ path }) => path)).toEqual([])
  })
})

function processExits({ constructs }: Source): Source['constructs'] {
  return constructs.filter(({ what }) => what === 'process.exit')
}

describe('tests', () => {
  test('every source with behaviour has its mirrored test, or is exempt with a reason', () => {
    const found = written
      .filter(({ path, functions }) => path.startsWith('src/') && functions.length > 0)
      .map(({ path }) => path)
      .filter((path) => !(path in EXEMPT_FROM_MIRRORED_TEST) && !(path in PROVED_ELSEWHERE))
      .filter((path) => !existsSync(join(ROOT, mirrored(path))))
    expect(found).toEqual([])
  })

  test('no exemption is left over', () => {
    const untested = { ...EXEMPT_FROM_MIRRORED_TEST, ...PROVED_ELSEWHERE }
    const listed = Object.keys({ ...untested, ...EXEMPT_FROM_PROCESS_EXIT })
    const gone = [...listed, ...Object.values(PROVED_ELSEWHERE)].filter(
      (path) => !existsSync(join(ROOT, path)),
    )
    const tested = Object.keys(untested).filter((path) => existsSync(join(ROOT, mirrored(path))))
    expect([...gone, ...tested]).toEqual([])
  })

  test('a test that may be skipped says why in its title: (needs …) or (skipped: …)', () => {
    const found = faults(written, ({ skippable }) =>
      skippable
        .filter(({ title }) => title === null || !/\((needs|skipped:) [^()]+\)/.test(title))
        .map(({ line, title }) => ({ line, what: title ?? 'the title is not a plain text' })),
    )
    expect(found).toEqual([])
  })
})

const mirrored = (path: string): string =>
  path.replace(/^src\//, 'test/').replace(/\.ts$/, '.test.ts')

describe('the hook table', () => {
  test('is that of the README, in the same order', () => {
    const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
    const rows = readme.split('\n').flatMap((line) => {
      const cells = line.split('|').map((cell) => cell.replaceAll('`', '').trim())
      const name = cells.find((cell) => /^on[A-Z][A-Za-z]+$/.test(cell))
      const kind = cells.find((cell) => ['decides', 'observes', 'reserved'].includes(cell))
      return name === undefined || kind === undefined ? [] : [{ name, kind }]
    })
    expect(rows).toEqual(HOOKS.map(({ name, kind }) => ({ name, kind })))
  })

  test('is that of the plugin protocol: names, numbers and methods', () => {
    const proto = readFileSync(join(ROOT, 'proto/plugin/v1/plugin.proto'), 'utf8')
    const numbers = [...proto.matchAll(/\bHOOK_NAME_(\w+) = (\d+);/g)]
      .map(([, name, number]) => ({ name: name ?? '', number: Number(number) }))
      .filter(({ number }) => number > 0)
    const shouting = (name: string): string =>
      name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()
    expect(numbers).toEqual(HOOKS.map(({ name, number }) => ({ name: shouting(name), number })))

    const methods = [...proto.matchAll(/\brpc (On\w+)/g)].map(([, name]) => name ?? '')
    expect(methods.sort()).toEqual(HOOKS.map(({ name }) => methodName(name)).sort())
  })
})

test('every WASM plugin has a README', () => {
  const folder = join(ROOT, 'wasm-plugins')
  const plugins = readdirSync(folder, { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  )
  expect(plugins.length).toBeGreaterThan(0)
  const bare = plugins.filter(({ name }) => !existsSync(join(folder, name, 'README.md')))
  expect(bare.map(({ name }) => name)).toEqual([])
})

/** Files that are or could be committed: not what is fetched, built or kept by machines. */
function repositoryFiles(folder = ''): string[] {
  const skipped = ['node_modules', 'dist', '.cache', '.git']
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return skipped.includes(basename(path)) ? [] : repositoryFiles(path)
    return entry.isFile() ? [path] : []
  })
}
