import { describe, expect, test } from 'bun:test'
import {
  parseUserFile,
  USER_FILE_LIMITS,
  type UserFileOptions,
} from '../../../../src/protocols/postgres/login/user-file.ts'
import { PENCIL } from './vector.ts'

const parse = (text: string, options: UserFileOptions = {}) =>
  parseUserFile(new TextEncoder().encode(text), options)

function problemsOf(text: string, options: UserFileOptions = {}): string[] {
  const read = parse(text, options)
  return read.kind === 'users'
    ? []
    : read.problems.map(({ line, message }) => `${line}: ${message}`)
}

function usersOf(text: string) {
  const read = parse(text)
  if (read.kind === 'problems') throw new Error(JSON.stringify(read.problems))
  return read.users
}

describe('a user file', () => {
  test('has a name and a secret a line, quotes doubled, comments and empty lines skipped', () => {
    const users = usersOf(
      [
        '; a comment',
        '# another',
        '',
        '   ',
        '"ann" "pencil"',
        `  "bob"\t"${PENCIL}"  `,
        '"say ""hi""" "a ""quoted"" secret" ignored, as PgBouncer does',
        '"cleo" ""\r',
        '"ünï" "# no comment; here"',
      ].join('\n'),
    )
    expect(users.size).toBe(5)
    expect(users.get('ann')?.kind).toBe('plain')
    expect(users.get('bob')?.kind).toBe('scram')
    expect(users.get('say "hi"')?.kind).toBe('plain')
    expect(users.get('cleo')?.kind).toBe('empty')
    expect(users.get('ünï')?.kind).toBe('plain')
  })

  test('may be empty, and may begin with a byte order mark', () => {
    expect(usersOf('').size).toBe(0)
    expect(usersOf('\ufeff"ann" "x"').get('ann')).toBeDefined()
  })

  test('with mistakes has every one named by its line, and no secret repeated', () => {
    const text = [
      '"ann" "swordfish"',
      'bob swordfish',
      '"cleo" swordfish',
      '"dan" "swordfish',
      '"eve""swordfish"',
      '"fay" "sword"fish"',
      '"" "swordfish"',
      '"ann" "swordfish2"',
      '"gus" "SCRAM-SHA-256$swordfish"',
      `"hal" "${'swordfish'.repeat(300)}"`,
      `"${'i'.repeat(128)}" "swordfish"`,
      '"jim"',
      '"k\0" "swordfish"',
      '"lea" "sword\0fish"',
    ].join('\n')
    const found = problemsOf(text)
    const form = 'a line is "name" "secret", each in double quotes, quotes within doubled'
    expect(found).toEqual([
      ...[2, 3, 4, 5, 6].map((line) => `${line}: ${form}`),
      '7: the user name is empty',
      '8: user "ann" stands in line 1 already',
      '9: the SCRAM secret is malformed: ' +
        'it is SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey',
      '10: the secret has more than 2047 bytes',
      '11: the user name has more than 127 bytes',
      `12: ${form}`,
      '13: the user name has a zero byte',
      '14: the secret has a zero byte',
    ])
    expect(found.join('\n')).not.toContain('sword')
  })

  test('that is not UTF-8 has the line named', () => {
    const bytes = Buffer.from('"ann" "x"\n"bob" "\xff"\n', 'latin1')
    expect(parseUserFile(bytes)).toEqual({
      kind: 'problems',
      problems: [{ line: 2, message: 'the line is not UTF-8' }],
    })
  })

  test('has limits for bytes and users', () => {
    const limits = { fileBytesMax: 40, usersMax: 2 }
    expect(problemsOf('"a" "x"\n"b" "x"\n', { limits })).toEqual([])
    expect(problemsOf('"a" "x"\n"b" "x"\n"c" "x"\n"d" "x"', { limits })).toEqual([
      '3: more than 2 users, which is the limit',
    ])
    expect(problemsOf('#'.repeat(41), { limits })).toEqual([
      '0: the file has more than 40 bytes, which is the limit',
    ])
  })

  test('with more mistakes than anybody reads has the rest counted', () => {
    const found = problemsOf('x\n'.repeat(150))
    expect(found).toHaveLength(101)
    expect(found.at(-1)).toBe('0: 50 more problems are not listed')
  })

  test('of the largest size is read in no time worth a word, whatever is in it', () => {
    const bytes = new Uint8Array(USER_FILE_LIMITS.fileBytesMax / 16).fill(0x22)
    expect(parseUserFile(bytes).kind).toBe('problems')
    const spaces = `"a"${' '.repeat(100_000)}`
    expect(problemsOf(spaces)).toHaveLength(1)
    expect(problemsOf(`${' '.repeat(100_000)}x`)).toHaveLength(1)
  })
})
