/** YAML from anywhere: bounded in time and memory, and never a surprise. */
import { describe, expect, test } from 'bun:test'
import { GatewayError } from '../../src/base/errors.ts'
import { loadConfig } from '../../src/config/load.ts'
import { ConfigError } from '../../src/config/problem.ts'
import { filesOf, goldenCases } from './golden.ts'

/** A dollar sign and a brace, in two pieces because together they look like a template. */
const REFERENCE = ['$', '{'].join('')

/** The problems of a text, as the global file or the plugins file. */
function problemsOf(text: string, file = 'postern.yaml'): readonly string[] {
  try {
    loadConfig({ env: {}, readFile: filesOf({ 'postern.yaml': '{}', [file]: text }) })
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(({ message }) => message)
    if (error instanceof GatewayError) return [error.message]
    throw error
  }
}

const many = <T>(count: number, make: (at: number) => T) =>
  Array.from({ length: count }, (_, at) => make(at))

describe('a hostile text is refused in bounded time', () => {
  const hostile: Readonly<Record<string, string>> = {
    'a map of 50000 keys': many(50_000, (at) => `k${at}: 1`).join('\n'),
    'one key 50000 times': 'a: 1\n'.repeat(50_000),
    'brackets without end': '['.repeat(100_000),
    'braces without end': '{a: '.repeat(50_000),
    'a deep list': `a: ${'['.repeat(3000)}${']'.repeat(3000)}`,
    'dashes without end': `a:\n  ${'- '.repeat(30_000)}x`,
    'deep blocks': many(700, (at) => `${' '.repeat(at)}a:`).join('\n'),
    'aliases of aliases': many(30, (at) => `k${at}: &a${at} [*a${at - 1}, *a${at - 1}]`)
      .join('\n')
      .replaceAll('*a-1', 'x'),
    'merges of merges': many(40, (at) => `k${at}: &a${at} {<<: [*a${at - 1}, *a${at - 1}]}`)
      .join('\n')
      .replaceAll('*a-1', '{}'),
    'many aliases': `a: &a x\nb: [${'*a,'.repeat(50_000)}]`,
    'an alias of itself': 'servers: &a { default: *a }',
    'a merge of itself': 'servers: &a { <<: *a }',
    'a quote without end': `a: "${'x\n '.repeat(50_000)}`,
    'references without end': `drainTimeout: ${REFERENCE.repeat(100_000)}`,
  }
  for (const [name, text] of Object.entries(hostile)) {
    test(name, () => {
      const started = performance.now()
      expect(problemsOf(text).length).toBeGreaterThan(0)
      expect(performance.now() - started).toBeLessThan(10_000)
    })
  }
})

describe('a text that is odd', () => {
  test('may start with a byte order mark and end its lines as Windows does', () => {
    expect(problemsOf('\ufeffservers:\r\n  default:\r\n    address: ":1"\r\n')).toEqual([])
  })

  test('cannot reach the prototype of anything', () => {
    expect(problemsOf('__proto__: { a: 1 }')).toEqual(['the key __proto__ is not allowed'])
    const plugins = 'plugins: [{ name: a, localPath: b, config: { __proto__: { x: 1 } } }]'
    expect(problemsOf(plugins, 'postern_plugins.yaml')).toEqual([
      'the key __proto__ is not allowed',
    ])
    expect(problemsOf('constructor: 1\ntoString: 2')).toEqual([
      '"constructor" is no key at the top',
      '"toString" is no key at the top',
    ])
  })

  test('may not have tags that would be types elsewhere', () => {
    expect(problemsOf('servers: !!js/function "x"')).toEqual([
      'has a tag (a word that starts with !) that is unknown here',
    ])
  })

  test('never has its own words in a message about its form', () => {
    const texts = [
      'a: "hunter2',
      'a: [hunter2',
      'a: hunter2: b',
      'a: >hunter2\n b',
      '@hunter2',
      '%x\n',
    ]
    for (const text of texts) {
      const problems = problemsOf(text)
      expect(problems.length).toBeGreaterThan(0)
      expect(problems.join()).not.toContain('hunter2')
    }
  })

  test('lists a thousand problems and counts the rest', () => {
    const problems = problemsOf(many(1500, (at) => `k${at}: 1`).join('\n'))
    expect(problems.length).toBe(1001)
    expect(problems.at(-1)).toBe('500 more problems are not listed')
  })
})

/** A small generator of repeatable chance: mulberry32. */
function chance(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

const SNIPPETS = [
  ':',
  ' ',
  '\n',
  '  ',
  '- ',
  '[',
  ']',
  '{',
  '}',
  '&a ',
  '*a',
  '<<: *a',
  '"',
  "'",
  '|\n',
  '>',
  '#',
  '~',
  '!',
  '!!str ',
  '%',
  '---\n',
  REFERENCE,
  `${REFERENCE}X}`,
  'file:x',
  '\t',
  '\0',
  '😀',
  '1e999',
  '? ',
  '__proto__: 1',
  'default',
  'null',
  '\ud800',
]

function mutated(text: string, next: (below: number) => number): string {
  let result = text
  for (let times = 1 + next(6); times > 0; times--) {
    const at = next(result.length + 1)
    const length = next(4) === 0 ? next(40) : 0
    const snippet = next(3) === 0 ? text.slice(at, at + next(60)) : SNIPPETS[next(SNIPPETS.length)]
    result = result.slice(0, at) + (snippet ?? '') + result.slice(at + length)
  }
  return result
}

test('whatever is done to a file, only a GatewayError comes of it', () => {
  const cases = goldenCases()
  const next = chance(20_240_229)
  for (let run = 0; run < 1500; run++) {
    const golden = cases[next(cases.length)]
    if (golden === undefined) continue
    const text = mutated(golden.text, next)
    // Anything else than a GatewayError leaves this call and fails the test.
    expect(problemsOf(text, golden.file)).toBeArray()
  }
})
