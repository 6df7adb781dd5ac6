"""The override and the extraction request in other languages: verb, object and the word that points back.

Latin-script words are written without accents, as the normalised reading has them; a word is a stem where the language
inflects.  Lower case throughout, and no sets of letters beyond ASCII: patterns match bytes.  A clause ends at a stop or a line's end; the order of the three parts is the language's.
"""

from __future__ import annotations

from typing import NamedTuple

from vallum.signatures.patterns import Pattern


class Language(NamedTuple):
    """Stems, as alternations: ignore, instructions, previous, show, system prompt, and what is told in secret."""

    code: str
    ignore: str
    orders: str
    earlier: str
    show: str
    prompt: str


LATIN = (
    Language(
        "de",
        "ignorier|vergiss|vergesst|missacht|beachte nicht|ubergeh|verwirf|uberschreib|nicht beachten",
        "anweisung|instruktion|regeln|vorgaben|befehl|anordnung|aufgaben|prompt|richtlinien|weisungen|angaben",
        "vorherig|vorige|bisherig|obige|fruher|vorangegangen|vorstehend|ursprunglich|alle|deine|oben|zuvor|davor",
        "zeig|gib|nenn|verrat|wiederhol|druck|sag|schreib|ausgeben|offenbar|lautet",
        "system-?prompt|systemprompt|systemanweisung|system-?nachricht|geheime regeln|geheime anweisung|passwort",
    ),
    Language(
        "fr",
        "ignore|oublie|neglige|ne tiens? pas compte|ne tenez pas compte|fais abstraction|contourne|annule|passe outre",
        "instruction|consigne|regles|directives?|ordres|commandes|invite|prompt|indications|restrictions",
        "precedent|anterieur|ci-dessus|initial|toutes|tes |vos |d'avant|jusqu'ici|au-dessus|plus haut|avant|originale",
        "montre|revele|affiche|donne|repete|dis|imprime|ecris|divulgue|communique|quel est",
        "prompt (?:du )?systeme|invite systeme|instructions? (?:du )?systeme|mot de passe|message systeme|consignes secretes",
    ),
    Language(
        "es",
        "ignor|olvid|haz caso omiso|hagas caso|descart|omit|pasa por alto|desestim|desobedec|anul",
        "instruccion|indicacion|reglas|ordenes|directrices|directivas|mandatos|comandos|prompt|restricciones|normas",
        "anterior|previa|previo|de arriba|inicial|todas|tus |precedente|hasta ahora|original|antes",
        "muestr|revel|dime|dame|repit|imprim|escrib|divulg|ensen|cual es|di ",
        "prompt (?:del? )?sistema|indicaciones del sistema|instrucciones del sistema|contrasena|mensaje del sistema",
    ),
    Language(
        "pt",
        "ignor|esquec|desconsider|descart|desobede|anul|nao siga",
        "instruco|orientaco|regras|ordens|diretrizes|comandos|prompt|diretivas|restricoes|indicacoes",
        "anterior|previa|acima|inicia|todas|suas|seus|precedente|ate agora|origina|antes",
        "mostr|revel|diga|dig|repit|imprim|escrev|divulg|exib|qual e",
        "prompt d[eo] sistema|instrucoes d[eo] sistema|senha|mensagem d[eo] sistema|palavra-passe",
    ),
    Language(
        "it",
        "ignor|dimentic|non considerare|trascur|scart|non tenere conto|disobbed|annulla|tralasci",
        "istruzion|indicazion|regole|direttiv|ordini|comand|prompt|restrizioni|disposizioni|consegne",
        "precedent|sopra|inizial|tutte|tue |antecedent|finora|origina|prima",
        "mostra|rivela|dimmi|dammi|ripeti|stampa|scrivi|divulga|svela|qual e",
        "prompt d[ei]l? ?sistema|istruzioni d[ei]l? ?sistema|password|parola d'ordine|messaggio di sistema",
    ),
    Language(
        "nl",
        "negeer|vergeet|let niet op|omzeil|sla over|houd geen rekening",
        "instructie|aanwijzing|regels|opdracht|bevel|richtlijn|prompt|voorschrift",
        "vorige|voorgaande|bovenstaande|eerdere|oorspronkelijke|alle|je |jouw|hierboven|hiervoor",
        "toon|geef|laat|herhaal|vertel|zeg|schrijf|onthul|wat is",
        "systeem-?prompt|systeeminstructie|systeembericht|wachtwoord",
    ),
    Language(
        "pl",
        "zignoruj|ignoruj|zapomnij|pomin|odrzuc|nie zwracaj uwagi|lekcewaz|zlekcewaz|nie przestrzegaj|obejdz",
        "instrukcj|polecen|zasad|regul|wytyczn|rozkaz|wskazowk|prompt|nakaz",
        "poprzedni|wczesniejsz|powyzsz|wszystk|dotychczasow|swoje|pierwotn|uprzedn",
        "pokaz|ujawnij|podaj|powtorz|wypisz|powiedz|wyswietl|napisz|zdradz",
        "prompt systemow|instrukcj\\w{0,3} systemow|hasl|monit systemow|podpowied\\w{0,3} systemow",
    ),
    Language(
        "cs",
        "ignoruj|zapomen|nedbej|opomen|neber v uvahu|prehliz",
        "instrukc|pokyn|pravid|prikaz|narizen|prompt|smernic",
        "predchoz|predesl|vyse|drivejs|vsech|puvodn|dosavadn",
        "ukaz|zobraz|prozrad|rekni|zopakuj|vypis|odhal",
        "systemov\\w{0,3} (?:prompt|pokyn|instrukc|zprav)|heslo",
    ),
    Language(
        "ro",
        "ignor|uita|nesocot|nu tine cont|nu tineti cont|treci peste|omite",
        "instructiuni|indicatii|reguli|ordine|comenzi|prompt|directive",
        "anterioare|precedent|de mai sus|initiale|toate|tale|de pana acum",
        "arata|dezvaluie|spune|afiseaza|repeta|da-mi|scrie",
        "prompt\\w{0,3} (?:de|al)? ?sistem|instructiuni\\w{0,3} (?:de|ale)? ?sistem|parola",
    ),
    Language(
        "sv",
        "ignorera|glom|bortse|strunta|asidosatt|ignorer|glem|se bort|unnlat|unohda|ohita|ala valita",
        "instruktion|anvisning|regler|order|direktiv|riktlinj|prompt|instruks|retningslinj|ohjee|kaskyt|ohjeet",
        "tidigare|foregaende|ovanstaende|alla|dina|tidligere|forrige|ovenstaende|foregaende|alle|aiemm|edellis|kaikki|ylla",
        "visa|avsloja|skriv|upprepa|beratta|vis |gentag|afslor|fortell|nayta|paljasta|kerro",
        "systemprompt|systeminstruktion|systemmeddelande|losenord|passord|adgangskode|jarjestelmakehote|salasana",
    ),
    Language(
        "id",
        "abaikan|lupakan|hiraukan|kesampingkan|jangan ikuti|jangan patuhi|ketepikan",
        "instruksi|perintah|aturan|arahan|petunjuk|prompt|pedoman|panduan",
        "sebelumnya|terdahulu|di atas|semua|awal|segala|terdahulu|sebelum|anda",
        "tampilkan|tunjukkan|ungkapkan|beritahu|katakan|ulangi|berikan|cetak|tulis|dedahkan",
        "prompt sistem|instruksi sistem|perintah sistem|kata sandi|kata laluan|pesan sistem|system prompt",
    ),
    Language(
        "vi",
        "bo qua|quen|phot lo|lo di|khong tuan theo|khong lam theo|huy bo",
        "huong dan|chi dan|chi thi|quy tac|menh lenh|lenh|yeu cau|prompt|quy dinh",
        "truoc|ben tren|o tren|tat ca|moi |ban dau|phia tren",
        "hien thi|cho toi|tiet lo|noi|lap lai|in ra|viet|dua",
        "loi nhac he thong|prompt he thong|huong dan he thong|mat khau|system prompt|lenh he thong",
    ),
    Language(
        "tl",
        "huwag pansinin|kalimutan|balewalain|huwag sundin|puuza|sahau|vergeet|ignoreer|yoksay|yok say|unut|gormezden gel|dikkate alma",
        "tagubilin|utos|panuto|alituntunin|maagizo|amri|instruksies|talimat|kural|yonerge|komut|emir|prompt",
        "nakaraan|naunang|lahat|sa itaas|yaliyotangulia|yote|vorige|onceki|tum |yukaridaki|butun|daha once|simdiye|ilk ",
        "goster|soyle|ifsa|acikla|yazdir|tekrarla|ipakita|sabihin|onyesha",
        "sistem istem|sistem prompt|sistem mesaj|sistem talimat|parola|sifre|system prompt|password",
    ),
)

OTHER = (
    Language(
        "ru",
        "игнорир|проигнорир|забуд|не обращай внимания|пренебрег|отбрось|не учитывай|отмени|обойди|не следуй|не соблюдай",
        "инструкци|указани|правил|команд|приказ|директив|распоряжени|промпт|промт|установк|ограничени",
        "предыдущ|прежн|выше|прошл|ранее|все|начальн|исходн|свои|твои|данные",
        "покажи|раскрой|выведи|скажи|назови|повтори|напиши|напечатай|сообщи|выдай|расскажи",
        "системн[^ \\n]{0,24} (?:промпт|промт|инструкци|сообщени|подсказк|запрос)|парол",
    ),
    Language(
        "uk",
        "ігнор|проігнор|забуд|не зважай|знехтуй|відкинь|не враховуй|скасуй|заборав|забрав|игнориш|пренебрегн|занемари",
        "інструкці|вказівк|правил|команд|наказ|директив|розпоряджен|промпт|инструкци|упутств|указани|наредб",
        "попередн|вище|раніше|усі|всі|початков|свої|предишн|горн|всички|претходн|све|изнад",
        "покажи|розкрий|виведи|скажи|назви|повтори|напиши|надай|прикажи|разкри",
        "системн[^ \\n]{0,24} (?:промпт|інструкц|повідомлен|підказк|запит|инструкц|съобщени)|парол|лозинк",
    ),
    Language(
        "el",
        "αγνοησ|ξεχασ|ξεχνα|παραβλεψ|παρακαμψ|αγνόησ|ξέχασ|ξέχνα|παράβλεψ|παράκαμψ|αγνοήσ|ξεχάσ",
        "οδηγι|εντολ|κανον|κανόν|οδηγί|προτροπ",
        "προηγουμεν|προηγούμεν|παραπανω|παραπάνω|ολες|όλες|αρχικ",
        "δειξε|δείξε|αποκαλυψ|αποκάλυψ|πες|επαναλαβ|επανάλαβ|γραψε|γράψε|εμφανισ|εμφάνισ",
        "προτροπ[^ \\n]{0,12} (?:του )?συστ|οδηγίες (?:του )?συστ|κωδικ",
    ),
    Language(
        "ar",
        "تجاهل|انس|تناس|تخط|أهمل|اهمل|اغفل|لا تتبع|تجاوز|نادیده|نادیده بگیر|فراموش|نظر انداز|بھول",
        "تعليمات|التعليمات|الأوامر|أوامر|القواعد|قواعد|توجيهات|التوجيهات|الإرشادات|دستور|قوانین|ہدایات|احکامات|پرامپت",
        "السابقة|سابقة|أعلاه|جميع|كل|الأصلية|قبل|قبلی|بالا|تمام|همه|پچھلی|سابقہ|پہلے|قبلي",
        "أظهر|اكشف|اعرض|أخبرني|كرر|اطبع|اكتب|قل|أعطني|نشان|بگو|آشکار|دکھا|بتا",
        "موجه النظام|تعليمات النظام|رسالة النظام|كلمة المرور|كلمة السر|سیستم|رمز عبور|پاس ورڈ|سسٹم پرامپٹ",
    ),
    Language(
        "he",
        "התעלם|התעלמי|התעלמו|שכח|שכחי|תתעלם|תשכח",
        "הוראות|ההוראות|הנחיות|ההנחיות|כללים|הכללים|פקודות|הפקודות",
        "קודמות|הקודמות|לעיל|כל|הקודמים|המקוריות|שלמעלה",
        "הצג|חשוף|גלה|אמור|ספר|הדפס|חזור",
        "הנחיית המערכת|הוראות המערכת|פרומפט המערכת|סיסמ",
    ),
    Language(
        "hi",
        "अनदेखा|नजरअंदाज|नज़रअंदाज|भूल जा|उपेक्षा|ध्यान न द|ध्यान मत द|उपेक्षित|দুর্লক্ষ|উপেক্ষা|ভুলে যা|অগ্রাহ্য|दुर्लक्ष|విస్మరించ|புறக்கணி|மறந்து",
        "निर्देश|आदेश|नियम|अनुदेश|निर्देशों|হুকুম|নির্দেশ|নিয়ম|सूचना|సూచన|ఆదేశ|வழிமுறை|அறிவுறுத்தல்|கட்டளை",
        "पिछले|पिछली|पहले|पूर्व|सभी|उपरोक्त|ऊपर|আগের|পূর্ব|সমস্ত|সব|উপরের|मागील|सर्व|మునుపటి|మునుపు|அனைத்து|முந்தைய",
        "दिखा|बता|प्रकट|दोहरा|लिख|উন্মোচন|দেখা|বল|প্রকাশ|दाखव|చూప|காட்ட",
        "सिस्टम प्रॉम्प्ट|सिस्टम निर्देश|सिस्टम संदेश|पासवर्ड|সিস্টেম প্রম্প্ট|পাসওয়ার্ড",
    ),
    Language(
        "zh",
        "忽略|无视|忘记|忘掉|不要理会|不用理会|不理会|抛开|跳过|撇开|放弃|忽視|無視|忘記|不要遵守|不遵守|绕过|略過",
        "指令|指示|说明|提示|规则|命令|要求|设定|說明|規則|限制|对话|內容|内容|约束|指引",
        "之前|以上|上面|前面|先前|所有|此前|上述|原来|原始|你的|您的|一切|原有|全部",
        "显示|告诉|输出|说出|透露|重复|打印|展示|泄露|公开|揭示|给我|顯示|告訴|輸出|揭露|复述|翻译",
        "系统提示|系统指令|系統提示|提示词|提示詞|密码|密碼|初始指令|系统消息|隐藏指令|口令|内部指令",
    ),
    Language(
        "ja",
        "無視|忘れ|従わない|破棄|無効|取り消|考慮しない|スキップ",
        "指示|命令|ルール|規則|プロンプト|説明|指令|制約|設定|ガイドライン",
        "これまで|以前|前の|上記|今まで|すべて|全て|先ほど|上の|直前|最初|元の|あなたの|先の",
        "表示|教えて|見せ|出力|明かし|繰り返|公開|書い|示し",
        "システムプロンプト|システムの指示|システム指示|システムメッセージ|パスワード|初期指示|隠された指示",
    ),
    Language(
        "ko",
        "무시|잊어|잊고|따르지|무효|취소|건너뛰|삭제",
        "지시|명령|규칙|지침|프롬프트|설명|안내|요청",
        "이전|앞의|위의|위에|지금까지|모든|기존|앞선|원래|당신의|너의",
        "보여|알려|출력|공개|말해|반복|표시|드러|밝혀|써",
        "시스템 ?프롬프트|시스템 ?지시|시스템 ?메시지|비밀번호|암호|초기 지시",
    ),
    Language(
        "th",
        "ละเว้น|เพิกเฉย|ลืม|ไม่ต้องสนใจ|ไม่สนใจ|มองข้าม|ข้าม|ยกเลิก",
        "คำสั่ง|คำแนะนำ|กฎ|ข้อกำหนด|พรอมต์|คำชี้แจง",
        "ก่อนหน้า|ข้างต้น|ทั้งหมด|ก่อน|เดิม|ด้านบน|ที่ผ่านมา|ของคุณ",
        "แสดง|บอก|เปิดเผย|พิมพ์|ทำซ้ำ|เขียน",
        "พรอมต์ระบบ|คำสั่งระบบ|ข้อความระบบ|รหัสผ่าน|system prompt",
    ),
)

_GAP = {"latin": r"[^.?!\n]{0,30}", "other": r"[^.?!\n]{0,48}"}


def _expand(language: Language, gap: str) -> list[Pattern]:
    ignore, orders, earlier = f"(?:{language.ignore})", f"(?:{language.orders})", f"(?:{language.earlier})"
    show, prompt = f"(?:{language.show})", f"(?:{language.prompt})"
    code = language.code
    return [
        Pattern(f"override.{code}1", 1.0, f"{ignore}{gap}{earlier}{gap}{orders}"),
        Pattern(f"override.{code}2", 1.0, f"{ignore}{gap}{orders}{gap}{earlier}"),
        Pattern(f"override.{code}3", 1.0, f"{earlier}{gap}{orders}{gap}{ignore}"),
        Pattern(f"override.{code}4", 1.0, f"{orders}{gap}{earlier}{gap}{ignore}"),
        Pattern(f"extract.{code}1", 0.75, f"{show}{gap}{prompt}"),
        Pattern(f"extract.{code}2", 0.75, f"{prompt}{gap}{show}"),
    ]


LANGUAGES = (
    *(pattern for language in LATIN for pattern in _expand(language, _GAP["latin"])),
    *(pattern for language in OTHER for pattern in _expand(language, _GAP["other"])),
)
