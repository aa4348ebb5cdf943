/** Sentences for the errors of the YAML parser. */
import { expect, test } from 'bun:test'
import { syntaxSentence } from '../../src/config/yaml-errors.ts'

test('errors that operators make have sentences of their own', () => {
  expect(syntaxSentence('TAB_AS_INDENT')).toBe('is indented with a tab; use spaces')
  expect(syntaxSentence('MULTIPLE_DOCS')).toContain('second document')
})

test('an error that is not known yet has a sentence too', () => {
  expect(syntaxSentence('NEW_IN_SOME_RELEASE')).toBe('is not YAML: something here does not belong')
})
