import { expect, test } from 'bun:test'
import { renderPage, sampleLine } from '../../src/metrics/exposition.ts'

test('a sample is written with its labels escaped and its timestamp, if any', () => {
  expect(sampleLine('x', [], '1', '')).toBe('x 1')
  expect(sampleLine('x', [['a', 'q"b\\n\n']], '+Inf', '123')).toBe('x{a="q\\"b\\\\n\\n"} +Inf 123')
})

test('a page has help and type once a family, and no line for no help', () => {
  const page = renderPage([
    { name: 'a', type: 'counter', help: 'An a.', lines: ['a 1', 'a{b="c"} 2'] },
    { name: 'd', type: 'untyped', help: '', lines: [] },
  ])
  expect(page).toBe('# HELP a An a.\n# TYPE a counter\na 1\na{b="c"} 2\n\n# TYPE d untyped\n')
})
