/** `postern plugin bench`: what it prints; never how long anything took. */
import { expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { benchText, pluginBench } from '../../src/cli/plugin-bench.ts'
import { modulePath } from '../fixtures/wasm/kit.ts'
import { record, thrownBy } from './recorder.ts'

const ROW = {
  hook: 'onTrafficFromClient',
  input: 'Query',
  bytes: 100,
  micros: 0.34567,
  fuel: 812,
  memoryBytes: 131_072,
  calls: 20_000,
  failure: '',
} as const

test('the table has a line for each hook and input, and the reason of what failed', () => {
  const failed = { ...ROW, bytes: 1024, failure: 'it trapped' }
  expect(benchText('words.wasm', [ROW, failed], false)).toBe(
    [
      'words.wasm: medians of 7 rounds',
      'HOOK                 INPUT  BYTES  µs A CALL  FUEL A CALL  MEMORY KiB  CALLS',
      'onTrafficFromClient  Query    100  0.346              812         128  20000',
      'onTrafficFromClient  Query   1024  failed             812         128  20000',
      'failed on Query of 1024 bytes: it trapped',
    ].join('\n'),
  )
})

test('a test file gives its messages and its configuration', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-plugin-bench-'))
  try {
    const path = join(folder, 'a.test.yaml')
    writeFileSync(
      path,
      `plugin: ${modulePath('words-assembly')}
limits: { callDeadline: 10s, startDeadline: 10s }
cases:
  - name: a
    steps:
      - client: [Query: select 1, Sync]
      - client: { Query: select 1 }
      - client: { Parse: select 2 }
`,
    )
    const io = record()
    expect(await pluginBench([path, '--json'], io)).toBe(0)
    const { rows } = JSON.parse(io.written.join('\n'))
    expect(rows).toMatchObject([
      { hook: 'onClosed', input: 'parameters' },
      { hook: 'onTrafficFromClient', input: 'Query', bytes: 14 },
      { hook: 'onTrafficFromClient', input: 'Parse', bytes: 17 },
    ])
  } finally {
    rmSync(folder, { recursive: true })
  }
}, 20_000)

test('one file is asked for', async () => {
  expect(await thrownBy(pluginBench([], record()))).toMatchObject({ code: 'USAGE' })
  expect(await thrownBy(pluginBench(['a', 'b'], record()))).toMatchObject({ code: 'USAGE' })
})
