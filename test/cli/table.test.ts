import { expect, test } from 'bun:test'
import { painted, renderTable } from '../../src/cli/table.ts'

test('columns are aligned, numbers to the right, without spaces at the ends', () => {
  const rows = [
    ['a', 1, 'x'],
    ['bbb', 1000, ''],
  ] as const
  expect(renderTable(['NAME', 'COUNT', 'NOTE'], rows, false)).toBe(
    ['NAME  COUNT  NOTE', 'a         1  x', 'bbb    1000'].join('\n'),
  )
})

test('a table without rows has its heads', () => {
  expect(renderTable(['A', 'B'], [], false)).toBe('A  B')
})

test('colours are only where they were asked for, and do not move columns', () => {
  const rows = [[{ text: 'ready', colour: 'green' }, 'x'] as const]
  expect(renderTable(['STATE', 'N'], rows, false)).not.toContain('\u001b')
  const colourful = renderTable(['STATE', 'N'], rows, true)
  expect(colourful).toContain('\u001b[32mready\u001b[39m  x')
  expect(Bun.stripANSI(colourful)).toBe(renderTable(['STATE', 'N'], rows, false))
})

test('what comes from elsewhere cannot command the terminal', () => {
  expect(renderTable(['ERROR'], [['a\u001b[2J\nb']], true)).toContain('a\\x1b[2J\\nb')
  expect(painted({ text: '\u0007', colour: 'red' }, true)).toContain('\\x07')
})

test('wide letters count as wide', () => {
  const lines = renderTable(
    ['A', 'B'],
    [
      ['日本', 'x'],
      ['abcd', 'y'],
    ],
    false,
  ).split('\n')
  expect(lines[1]).toBe('日本  x')
  expect(lines[2]).toBe('abcd  y')
})
