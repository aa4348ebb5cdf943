/** How problems are collected and told. */
import { expect, test } from 'bun:test'
import { ConfigError, clipped, Problems, problemLine, shownPath } from '../../src/config/problem.ts'

const at = (file: string, line: number, column: number) => ({ file, line, column })

test('problems are told by file and line, whatever the order they were found in', () => {
  const problems = new Problems()
  problems.add(at('b', 1, 1), ['x'], 'third')
  problems.add(at('a', 10, 1), ['y'], 'second')
  problems.add(at('a', 9, 5), ['z'], 'first', 'zed')
  const error = problems.error()
  expect(error).toBeInstanceOf(ConfigError)
  expect(error.code).toBe('CONFIG_INVALID')
  expect(error.message).toBe('a:9:5: first (did you mean "zed"?)\na:10:1: second\nb:1:1: third')
})

test('only the first problem about a path is told', () => {
  const problems = new Problems()
  expect(problems.any()).toBe(false)
  problems.add(at('a', 1, 1), ['x', 'y'], 'first')
  problems.add(at('a', 1, 1), ['x', 'y'], 'second')
  problems.add(at('a', 1, 1), ['x'], 'other')
  expect(problems.any()).toBe(true)
  expect(problems.error().problems.map(({ message }) => message)).toEqual(['first', 'other'])
})

test('a place that is no file has no line', () => {
  const problem = { file: 'POSTERN_X', line: 0, column: 0, path: 'x', message: 'x is wrong' }
  expect(problemLine(problem)).toBe('POSTERN_X: x is wrong')
})

test('paths are written with dots, and positions in brackets', () => {
  expect(shownPath(['plugins', '2', 'env', '0'])).toBe('plugins[2].env[0]')
  expect(shownPath([])).toBe('')
})

test('texts of any length are cut', () => {
  expect(clipped('x'.repeat(60))).toBe('x'.repeat(60))
  expect(clipped('x'.repeat(1000))).toBe(`${'x'.repeat(60)}…`)
})
