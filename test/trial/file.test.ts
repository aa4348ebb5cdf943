/** Test files: what they say, and every slip with its place. */
import { afterAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readTrialFile, type TrialFile } from '../../src/trial/file.ts'

const folder = mkdtempSync(join(tmpdir(), 'postern-trial-'))
afterAll(() => rmSync(folder, { recursive: true }))
writeFileSync(join(folder, 'sample.wasm'), '')

function read(text: string, name = 'sample.test.yaml'): TrialFile {
  const path = join(folder, name)
  writeFileSync(path, text)
  return readTrialFile(path, {})
}

/** The problems, without the folder. */
function problems(text: string, name?: string): string {
  try {
    read(text, name)
    return 'none'
  } catch (thrown) {
    return String(thrown instanceof Error ? thrown.message : thrown).replaceAll(`${folder}/`, '')
  }
}

describe('a test file', () => {
  test('may leave out everything but its cases', () => {
    const file = read('cases:\n  - name: a\n    steps:\n      - client: Sync\n')
    expect(file).toMatchObject({
      module: join(folder, 'sample.wasm'),
      onFailure: 'open',
      protocol: 'postgres',
      nowMs: Date.UTC(2026, 0, 1),
    })
    expect(file.limits.callDeadlineMs).toBe(50)
    expect(file.cases[0]?.connections.get('main')).toMatchObject({
      user: 'postgres',
      database: 'postgres',
    })
    expect(file.cases[0]?.steps[0]).toMatchObject({ line: 4, on: 'main' })
  })

  test('keeps the types of configuration and parameters, and the texts of messages', () => {
    const file = read(`config: { most: 3, on: true }
now: 2026-02-03T04:05:06Z
limits: { callDeadline: 1s }
connections: { other: { user: bob } }
cases:
  - name: a
    config: { on: false }
    connection: { user: ann, database: shop }
    steps:
      - hook: { onTick: { connections: 3 } }
      - server: { DataRow: [007, null, 1.50] }
      - { on: other, wait: 1m30s }
`)
    const [first] = file.cases
    expect(first?.config).toEqual({ most: 3, on: false })
    expect(file.nowMs).toBe(Date.UTC(2026, 1, 3, 4, 5, 6))
    expect(first?.steps.map(({ doing }) => doing)).toMatchObject([
      { kind: 'call', hook: 'onTick', params: { connections: 3 } },
      { kind: 'send', side: 'server' },
      { kind: 'wait', ms: 90_000 },
    ])
    const sent = first?.steps[1]?.doing
    const row = sent?.kind === 'send' ? Buffer.concat(sent.messages).toString('latin1') : ''
    expect(row).toContain('007')
    expect(row).toContain('1.50')
    expect(first?.connections.get('other')).toMatchObject({ user: 'bob', database: 'bob' })
  })
})

const one = (step: string): string => `cases:\n  - name: a\n    steps:\n      - ${step}\n`

describe('a slip is told with its place', () => {
  test.each([
    ['case: []\n', 'sample.test.yaml:1:1: "case" is no key at the top (did you mean "cases"?)'],
    [
      one('clinet: Sync'),
      'sample.test.yaml:4:9: "clinet" is no key of cases[0].steps[0] (did you mean "client"?)',
    ],
    [
      one('client: Snyc'),
      'sample.test.yaml:4:17: cases[0].steps[0].client must be a message of a ' +
        'client (did you mean "Sync"?), not "Snyc"',
    ],
    [
      one('{ client: Sync, server: NoData }'),
      'sample.test.yaml:4:9: cases[0].steps[0] must have one of client, server, hook, now, wait',
    ],
    [one('{ on: bob, client: Sync }'), 'sample.test.yaml:4:15: there is no connection "bob"'],
    [
      one('hook: onTrafficToServer'),
      'must not be onTrafficToServer: write what is sent, as client or server',
    ],
    [one('hook: onOpend'), 'cases[0].steps[0].hook must be the name of a hook, not "onOpend"'],
    [
      one('{ client: Sync, expect: { verdcit: deny } }'),
      'has no key "verdcit" (did you mean "verdict"?)',
    ],
    [one('wait: 5'), 'must be a duration such as 500ms or 1m30s, not "5"'],
    ['cases: []\n', 'sample.test.yaml:1:1: it has no cases'],
    ['limits: { callDedline: 1s }\ncases: []\n', '(did you mean "callDeadline"?)'],
  ])('%s', (text, sentence) => expect(problems(text)).toContain(sentence))

  test('a plugin that is nowhere', () => {
    expect(problems(one('client: Sync'), 'lone.test.yaml')).toBe(
      'lone.test.yaml:1:1: it names no plugin, and there is no lone.wasm beside it; ' +
        'set plugin: FILE.wasm',
    )
  })

  test('a file that is not there', () => {
    expect(() => readTrialFile(join(folder, 'gone.test.yaml'), {})).toThrow(
      'gone.test.yaml cannot be read: there is no such file',
    )
  })
})
