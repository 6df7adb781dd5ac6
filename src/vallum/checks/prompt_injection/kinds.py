"""Kinds of words: what an attack is made of, whichever word it takes.

"Disregard your guidelines" and "forget thy commandments" share no word and one sequence of kinds.  A word is of one kind
at most; most words are of none.  Small letters, no accents: as the folded reading has them.  Other languages have
a few words of the kinds that overrides are made of.
"""

from __future__ import annotations

KINDS = {
    "drop": "ignore ignoring ignores ignored disregard disregarding forget forgetting forgot override overriding overrides bypass"
    " bypassing discard dismiss neglect overlook nullify negate violate supersede supersedes circumvent abandon unlearn wipe"
    " erase void cancel revoke revoked skip drop delete remove disable disabled deactivate deactivated disobey reset clear"
    " suspend suspended lift lifted scrap aside break defy evade"
    " ignoriere ignorieren vergiss vergesst missachte verwirf ignorez oublie oubliez neglige negligez ignora"
    " ignorar ignore ignoren olvida olvide olvidar descarta omite desconsidere esqueca esquece ignorare"
    " dimentica dimenticare trascura negeer vergeet negeren zignoruj zapomnij pomin ignorera glom ignorer glem"
    " unohda ohita ignoruj zapomen yoksay unut abaikan lupakan uita игнорируй игнорируйте забудь забудьте"
    " проигнорируй ігноруй ignoriraj zaboravi αγνόησε ξέχασε تجاهل انس התעלם שכח",
    "not": "not don dont never no stop cease quit without longer nothing none cannot can't don't won refuse refusing decline"
    " avoid instead rather except",
    "earlier": "previous previously prior preceding above earlier foregoing aforementioned initial original originally former past"
    " last existing current old before beginning start top default preceeding"
    " vorherigen bisherigen vorigen obigen fruheren ursprunglichen precedentes anterieures initiales anteriores"
    " previas anterior precedenti vorige eerdere poprzednie wszystkie poprzednich tidigare tidligere aiemmat"
    " predchozi onceki sebelumnya anterioare предыдущие прежние предыдущих вышеуказанные попередні prethodne"
    " προηγούμενες السابقة הקודמות",
    "orders": "instruction instructions direction directions directive directives rule rules guideline guidelines command"
    " commands order orders commandments mandates protocol protocols ruleset guardrail guardrails restriction restrictions"
    " constraint constraints limitation limitations policy policies filter filters safeguard safeguards guidance regulations"
    " programming principles boundaries"
    " anweisungen anweisung regeln vorgaben befehle richtlinien instruktionen consignes regles directives"
    " instructions instrucciones reglas ordenes directrices instrucoes regras ordens diretrizes istruzioni"
    " regole ordini direttive instructies regels opdrachten instrukcje instrukcji polecenia polecen zasady"
    " instruktioner regler ohjeet saannot instrukce pokyny pravidla talimatlari kurallari instruksi aturan"
    " perintah instructiunile regulile инструкции указания правила команды инструкций указаний інструкції"
    " uputstva upute οδηγίες εντολές التعليمات الأوامر القواعد ההוראות",
    "prompt": "prompt prompts preprompt preamble configuration config setup initialization metaprompt",
    "system": "system hidden internal confidential underlying sysprompt private restricted classified protected concealed",
    "speech": "text texts message messages context conversation conversations content contents sentence sentences statement"
    " statements words input inputs paragraph paragraphs line lines chat history dialogue interaction discussion output phrase"
    " phrases document discourse exchange",
    "show": "reveal show print repeat display leak disclose dump expose recite share list summarize summarise copy paste echo"
    " return reproduce restate reiterate recount regurgitate divulge replay quote rehash replicate relay retell parrot mirror"
    " transcribe narrate spill enumerate retrieve revealing recall rephrase paraphrase"
    " zeige zeig nenne verrate wiederhole montre montrez revele affiche repete muestra muestrame revela repite"
    " imprime mostre exiba repita mostra mostrami ripeti toon herhaal pokaz ujawnij powtorz visa upprepa vis"
    " gjenta nayta toista ukaz goster tekrarla tunjukkan ulangi arata repeta покажи раскрой повтори выведи"
    " покажіть prikazi δείξε أظهر اكشف הצג",
    "tell": "tell give say write describe explain provide send type answer respond reply speak state name mention whisper inform"
    " confirm telling giving saying"
    " sag sage gib schreib antworte dis donne ecris reponds dime dame escribe responde diga escreva dimmi"
    " scrivi rispondi zeg schrijf antwoord powiedz napisz odpowiedz skriv kerro rekni soyle yaz katakan tulis"
    " spune scrie скажи напиши ответь reci πες قل اكتب",
    "encode": "translate encode encoded encrypt encrypted decode convert reverse reversed backwards backward base64 rot13 hex"
    " hexadecimal morse binary caesar cipher ascii leetspeak emoji emojis obfuscate unicode ciphertext pig json yaml python"
    " markdown french spanish german",
    "letter": "letter letters character characters digit digits vowel vowels consonant syllable syllables spell spelled"
    " spelling spells length initials alphabet alphabetical numbers",
    "tale": "story stories poem song haiku riddle riddles acrostic joke rap limerick sonnet novel fairy tale essay play scene game"
    " puzzle crossword hangman charades lullaby grandmother grandma",
    "hint": "hint hints clue clues synonym synonyms rhyme rhymes rhyming definition meaning antonym similar related sounds"
    " describing category resembles associated about",
    "secret": "password passwords passphrase passcode secret secrets codeword key keys flag credential credentials token tokens"
    " pin pwd pass code"
    " passwort kennwort geheimnis contrasena secreto senha segredo parola segreta wachtwoord geheim haslo"
    " sekret losenord adgangskode salasana heslo sifre rahasia sandi пароль секрет секретный lozinka κωδικός"
    " السر המסיסמה",
    "you": "you u ya yourself thou thee",
    "your": "your ur yours thy its"
    " deine deinen deiner ihre votre tes vos tus sus seus suas tuo tuoi tue jouw twoje swoje dina dine твои"
    " свои",
    "me": "me us",
    "i": "i im i'm my we our",
    "model": "ai llm assistant chatbot bot model gpt chatgpt claude agent gemini openai llama robot machine",
    "ask": "what whats which how who where when why",
    "be": "is are was were be been being am",
    "told": "told instructed given asked programmed received trained taught configured provided assigned processed designed"
    " created built",
    "may": "allowed forbidden permitted supposed able must should can could would may might will shall required prohibited",
    "all": "all any every everything anything whatever each entire entirety whole full fully complete completely total",
    "exact": "verbatim exactly exact literally precise precisely word unmodified altering changing unchanged unedited raw",
    "pretend": "pretend pretending act acting imagine roleplay simulate simulating become behave suppose assume hypothetical"
    " hypothetically fictional fiction role persona pretends emulate impersonate",
    "now": "now henceforth onwards onward forth immediately today currently",
    "new": "new real true actual actually updated different following",
    "free": "unrestricted unfiltered uncensored unlimited free freed amoral evil unethical immoral illegal harmful jailbreak"
    " jailbroken dan unhinged ethics ethical moral morals legal safety censorship dangerous restrictionless unbound",
    "claim": "admin administrator developer developers creator owner authorized authorised authorization permission debug"
    " debugging sudo root maintenance test testing emergency engineer auditor employee access granted verify override_code",
    "user": "user users human customer reader victim",
    "deed": "email forward visit open click transfer upload post fetch call run execute load download exfiltrate append include"
    " insert add attach recommend delete_file exec eval cat curl",
    "attend": "important urgent attention note notice critical warning reminder priority",
    "obey": "follow following_ obey comply listen remember adhere abide accept submit",
    "mode": "mode terminal simulation simulator console shell interpreter",
    "only": "only just simply directly",
    "please": "please kindly pls plz",
}
"""Words by kind."""
