/** The JSON Schema of the configuration. */

function names(description: string, more: string = ''): string {
  return '{"type":"array","items":{"type":"string","minLength":1,"maxLength":256}' + more +
    ',"description":"' + description + '"}'
}

function rule(): string {
  return '{"type":"object","additionalProperties":false,"required":["name"],"properties":{' +
    '"name":{"type":"string","minLength":1,"maxLength":64,"description":"In metrics"},' +
    '"columns":' + names('Columns by name, with * and ?') + ',' +
    '"values":{"type":"array","items":{"enum":["email","card","phone"]},' +
    '"description":"What is looked for in all other text"},' +
    '"how":{"enum":["partial","whole","null"],"default":"partial",' +
    '"description":"What stays readable; null: the value becomes NULL (columns by name)"},' +
    '"users":' + names('Only for these, with * and ?; left out: for everybody') + ',' +
    '"exceptUsers":' + names('Not for these') + '}}'
}

export function schema(): string {
  return '{"type":"object","additionalProperties":false,"properties":{' +
    '"rules":{"type":"array","items":' + rule() + ',' +
    '"description":"Left out: usual names of columns, e-mail addresses and cards"},' +
    '"exceptUsers":' + names('Who sees everything') + ',' +
    '"text":{"type":"string","maxLength":64,"default":"****",' +
    '"description":"What stands for a text that is masked whole"},' +
    '"others":{"enum":["null","zero"],"default":"null",' +
    '"description":"What numbers, dates and such become"},' +
    '"userTypes":{"enum":["null","text"],"default":"null",' +
    '"description":"text: types made by users are masked as text, as suits citext"},' +
    '"unknown":{"enum":["deny","null"],"default":"deny",' +
    '"description":"What becomes of rows whose columns are not known"},' +
    '"copy":{"enum":["deny","allow"],"default":"deny",' +
    '"description":"COPY … TO STDOUT of those for whom something is masked"}}}'
}
