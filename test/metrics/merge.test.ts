import { expect, test } from 'bun:test'
import { renderPage } from '../../src/metrics/exposition.ts'
import type { Family } from '../../src/metrics/family.ts'
import { markedSample, mergePages } from '../../src/metrics/merge.ts'
import { parsePage } from '../../src/metrics/parse.ts'

const own: readonly Family[] = [
  { name: 'postern_up', type: 'gauge', help: 'x', lines: ['postern_up 1'] },
  { name: 'process_open_fds', type: 'gauge', help: 'Ours.', lines: ['process_open_fds 9'] },
]

function page(plugin: string, text: string) {
  return { plugin, families: parsePage(text, { write: markedSample(plugin) }) }
}

test('a family stands on the page once, its samples name their plugins', () => {
  const text =
    '# HELP process_open_fds Theirs.\n# TYPE process_open_fds gauge\nprocess_open_fds 5\n'
  const { families, dropped } = mergePages(own, [page('a', text), page('b', text)])
  expect(dropped).toEqual([])
  expect(renderPage(families)).toBe(
    '# HELP postern_up x\n# TYPE postern_up gauge\npostern_up 1\n\n' +
      '# HELP process_open_fds Ours.\n# TYPE process_open_fds gauge\nprocess_open_fds 9\n' +
      'process_open_fds{plugin="a"} 5\nprocess_open_fds{plugin="b"} 5\n',
  )
})

test('a label plugin of the page itself becomes exported_plugin, and stays apart from one', () => {
  const text = 'x{plugin="forged"} 1\nx{plugin="f",exported_plugin="g"} 2\n'
  const { families } = mergePages([], [page('real', text)])
  expect(families[0]?.lines).toEqual([
    'x{exported_plugin="forged",plugin="real"} 1',
    'x{exported_plugin="f",exported_exported_plugin="g",plugin="real"} 2',
  ])
})

test("a plugin cannot write the gateway's families, typed or not", () => {
  const text = '# TYPE postern_up gauge\npostern_up 0\npostern_fresh 1\nmine 1\n'
  const { families, dropped } = mergePages(own, [page('a', text)])
  expect(renderPage(families)).not.toContain('plugin="a"} 0')
  expect(dropped.map(({ family }) => family)).toEqual(['postern_up', 'postern_fresh'])
  expect(families.map(({ name }) => name)).toEqual(['postern_up', 'process_open_fds', 'mine'])
})

test('of two types of one name the later page loses its family, and only that', () => {
  const { families, dropped } = mergePages(own, [
    page('a', '# TYPE x counter\nx 1\n'),
    page('b', '# TYPE x gauge\nx 2\ny 3\n'),
  ])
  expect(dropped).toEqual([
    { plugin: 'b', family: 'x', reason: 'it is a gauge here and a counter on an earlier page' },
  ])
  expect(families.map(({ name }) => name)).toContain('y')
  expect(renderPage(families)).not.toContain('x{plugin="b"}')
})

test("a family whose name another's samples have is left out", () => {
  const { families, dropped } = mergePages(own, [
    page('a', '# TYPE x histogram\nx_bucket{le="+Inf"} 1\nx_sum 1\nx_count 1\n'),
    page('b', '# TYPE x_count counter\nx_count 2\n'),
  ])
  expect(dropped).toEqual([
    { plugin: 'b', family: 'x_count', reason: 'its name x_count is taken by x of a' },
  ])
  expect(families).toHaveLength(3)
})

test('the first help stands; where there was none, the next one does', () => {
  const { families } = mergePages(
    [],
    [page('a', 'x 1\n'), page('b', '# HELP x From b.\nx 1\n'), page('c', '# HELP x No.\nx 1\n')],
  )
  expect(families[0]?.help).toBe('From b.')
})

test('escapes, special values and timestamps survive the merge', () => {
  const text = '# HELP x a\\\\b\\nc\nx{a="q\\"\\\\\\n"} NaN 12\nx{a="b"} -Inf\n'
  const { families } = mergePages([], [page('p', text)])
  expect(renderPage(families)).toBe(
    '# HELP x a\\\\b\\nc\n# TYPE x untyped\nx{a="q\\"\\\\\\n",plugin="p"} NaN 12\n' +
      'x{a="b",plugin="p"} -Inf\n',
  )
})
