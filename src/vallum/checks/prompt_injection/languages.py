"""The override and the extraction request in other languages: verb, object and the word that points back.

Latin-script words are written without accents, as the normalised reading has them; a word is a stem where the language
inflects.  Lower case throughout, and no sets of letters beyond ASCII: patterns match bytes.  A clause ends at a stop or a line's end; the order of the three parts is the language's.
"""

from __future__ import annotations

from typing import NamedTuple

from vallum.signatures.patterns import Pattern


class Language(NamedTuple):
    """Stems, as alternations: ignore, instructions, whose or which they are, show, what is told in secret, an AI, no limits."""

    code: str
    ignore: str
    orders: str
    earlier: str
    show: str
    prompt: str
    model: str
    free: str


LATIN = (
    Language(
        "de",
        "ignorier|vergiss|vergesst|missacht|beachte nicht|ubergeh|verwirf|uberschreib|nicht beachten|hor(?:e|t)? auf|befolge nicht|folge nicht mehr",
        "anweisung|instruktion|regeln|vorgaben|befehl|anordnung|aufgaben|prompt|richtlinien|weisungen|angaben",
        "vorherig|vorige|bisherig|obige|fruher|vorangegangen|vorstehend|ursprunglich|alle|deine|oben|zuvor|davor|dein entwickler|dir gegeben|deiner entwickler",
        "zeig|gib|nenn|verrat|wiederhol|druck|sag|schreib|ausgeben|offenbar|lautet",
        "system-?prompt|systemprompt|systemanweisung|system-?nachricht|geheime regeln|geheime anweisung|passwort|(?:text|alles|satze)[^.\\n]{0,24}(?:oberhalb|dieser nachricht|uber dieser zeile|hier oben)",
        "kunstliche|sprachmodell|\\bki\\b|\\bai\\b|modell",
        "ohne (?:jede |jegliche |alle )?(?:einschrankung|filter|regeln|moral|zensur|beschrankung|grenzen)|unzensiert|uneingeschrankt",
    ),
    Language(
        "fr",
        "ignore|oublie|neglige|ne tiens? pas compte|ne tenez pas compte|fais abstraction|contourne|annule|passe outre|arrete de|cesse de|cessez de|ne respecte plus|ne suis plus|n'obeis plus",
        "instruction|consigne|regles|directives?|ordres|commandes|invite|prompt|indications|restrictions",
        "precedent|anterieur|ci-dessus|initial|toutes|tes |vos |d'avant|jusqu'ici|au-dessus|plus haut|avant|originale|ton createur|ton developpeur|tes developpeurs",
        "montre|revele|affiche|donne|repete|dis|imprime|ecris|divulgue|communique|quel est",
        "prompt (?:du )?systeme|invite systeme|instructions? (?:du )?systeme|mot de passe|message systeme|consignes secretes|(?:texte|tout|phrases)[^.\\n]{0,24}(?:precede ce|ci-dessus|au-dessus de cette|avant ce message|avant cette)",
        "intelligence|\\bia\\b|modele",
        "sans (?:aucune? )?(?:restriction|filtre|limite|regle|moral|censure|ethique)|non censure|liberee? de",
    ),
    Language(
        "es",
        "ignor|olvid|haz caso omiso|hagas caso|descart|omit|pasa por alto|desestim|desobedec|anul|deja de|deje de|no sigas|no respetes|para de seguir",
        "instruccion|indicacion|reglas|ordenes|directrices|directivas|mandatos|comandos|prompt|restricciones|normas",
        "anterior|previa|previo|de arriba|inicial|todas|tus |precedente|hasta ahora|original|antes|tu creador|tus creadores|tu desarrollador",
        "muestr|revel|dime|dame|repit|imprim|escrib|divulg|ensen|cual es|di ",
        "prompt (?:del? )?sistema|indicaciones del sistema|instrucciones del sistema|contrasena|mensaje del sistema|(?:texto|todo|frases)[^.\\n]{0,24}(?:precede a este|de arriba|antes de esta? (?:mensaje|linea)|aparece antes)",
        "inteligencia|\\bia\\b|modelo",
        "sin (?:ningun\\w? |ninguna )?(?:restriccion|filtro|limite|regla|moral|censura|etica)|no censurad",
    ),
    Language(
        "pt",
        "ignor|esquec|desconsider|descart|desobede|anul|nao siga|pare de|deixe de|nao respeite|nao obedeca",
        "instruco|orientaco|regras|ordens|diretrizes|comandos|prompt|diretivas|restricoes|indicacoes",
        "anterior|previa|acima|inicia|todas|suas|seus|precedente|ate agora|origina|antes|teu criador|seu criador|seu desenvolvedor",
        "mostr|revel|diga|dig|repit|imprim|escrev|divulg|exib|qual e",
        "prompt d[eo] sistema|instrucoes d[eo] sistema|senha|mensagem d[eo] sistema|palavra-passe|(?:texto|tudo|frases)[^.\\n]{0,24}(?:antes desta|acima|precede esta|antes deste)",
        "inteligencia|\\bia\\b|modelo",
        "sem (?:nenhum\\w? |quaisquer )?(?:restric|filtro|limite|regra|moral|censura|etica)|nao censurad",
    ),
    Language(
        "it",
        "ignor|dimentic|non considerare|trascur|scart|non tenere conto|disobbed|annulla|tralasci|smetti di|smettila di|non seguire|non rispettare",
        "istruzion|indicazion|regole|direttiv|ordini|comand|prompt|restrizioni|disposizioni|consegne",
        "precedent|sopra|inizial|tutte|tue |antecedent|finora|origina|prima|tuo creatore|tuoi creatori|tuo sviluppatore",
        "mostra|rivela|dimmi|dammi|ripeti|stampa|scrivi|divulga|svela|qual e",
        "prompt d[ei]l? ?sistema|istruzioni d[ei]l? ?sistema|password|parola d'ordine|messaggio di sistema|(?:testo|tutto|frasi)[^.\\n]{0,24}(?:precede questo|qui sopra|prima di quest)",
        "intelligenza|\\bia\\b|modello",
        "senza (?:alcun\\w? )?(?:restrizion|filtr|limit|regol|moral|censura|etica)|non censurat",
    ),
    Language(
        "nl",
        "negeer|vergeet|let niet op|omzeil|sla over|houd geen rekening|stop met|houd op met|volg niet",
        "instructie|aanwijzing|regels|opdracht|bevel|richtlijn|prompt|voorschrift",
        "vorige|voorgaande|bovenstaande|eerdere|oorspronkelijke|alle|je |jouw|hierboven|hiervoor|je ontwikkelaar|je makers",
        "toon|geef|laat|herhaal|vertel|zeg|schrijf|onthul|wat is",
        "systeem-?prompt|systeeminstructie|systeembericht|wachtwoord|(?:tekst|alles)[^.\\n]{0,24}(?:boven deze|voor dit bericht|hierboven)",
        "intelligentie|\\bai\\b|model",
        "zonder (?:enige )?(?:beperking|filter|regels|moraal|censuur|limiet)|ongecensureerd",
    ),
    Language(
        "pl",
        "zignoruj|ignoruj|zapomnij|pomin|odrzuc|nie zwracaj uwagi|lekcewaz|zlekcewaz|nie przestrzegaj|obejdz|przestan|nie sluchaj|nie musisz",
        "instrukcj|polecen|zasad|regul|wytyczn|rozkaz|wskazowk|prompt|nakaz",
        "poprzedni|wczesniejsz|powyzsz|wszystk|dotychczasow|swoje|pierwotn|uprzedn|tworcow|nadanych",
        "pokaz|ujawnij|podaj|powtorz|wypisz|powiedz|wyswietl|napisz|zdradz",
        "prompt systemow|instrukcj\\w{0,3} systemow|hasl|monit systemow|podpowied\\w{0,3} systemow|(?:tekst|wszystko)[^.\\n]{0,24}(?:sprzed tej|powyzej|nad ta linia|przed ta)",
        "inteligencj|\\bai\\b|model",
        "bez (?:zadnych )?(?:ograniczen|filtrow|zasad|moralnosci|cenzury|limitow)|nieocenzurowan",
    ),
    Language(
        "cs",
        "ignoruj|zapomen|nedbej|opomen|neber v uvahu|prehliz|prestan|nedodrzuj|zabudni|zabudnite|nerespektuj",
        "instrukc|pokyn|pravid|prikaz|narizen|prompt|smernic",
        "predchoz|predesl|vyse|drivejs|vsech|puvodn|dosavadn|sve |svoje|tvurc|tvorc|predchadzaj",
        "ukaz|zobraz|prozrad|rekni|zopakuj|vypis|odhal",
        "systemov\\w{0,3} (?:prompt|pokyn|instrukc|zprav)|heslo|(?:text|vse|vsetko)[^.\\n]{0,24}(?:pred touto|nad timto|vyse|nad tymto)",
        "inteligenc|\\bai\\b|model",
        "bez (?:jakychkoli |akychkolvek )?(?:omezen|obmedzen|filtr|pravidel|moralk|cenzur)|necenzurovan",
    ),
    Language(
        "ro",
        "ignor|uita|nesocot|nu tine cont|nu tineti cont|treci peste|omite|nu mai respecta|nu mai urma|inceteaza",
        "instructiuni|indicatii|reguli|ordine|comenzi|prompt|directive",
        "anterioare|precedent|de mai sus|initiale|toate|tale|de pana acum|creatorilor|dezvoltator",
        "arata|dezvaluie|spune|afiseaza|repeta|da-mi|scrie",
        "prompt\\w{0,3} (?:de|al)? ?sistem|instructiuni\\w{0,3} (?:de|ale)? ?sistem|parola|(?:textul|tot)[^.\\n]{0,24}(?:de deasupra|dinaintea acest|de mai sus)",
        "inteligent|\\bia\\b|\\bai\\b|model",
        "fara (?:nicio )?(?:restrictii|filtre|limite|reguli|morala|cenzura)|necenzurat",
    ),
    Language(
        "sv",
        "ignorera|glom|bortse|strunta|asidosatt|ignorer|glem|se bort|unnlat|unohda|ohita|ala valita|sluta folja|sluta lyda|hold op med|stopp med|slutt a folge|lopeta",
        "instruktion|anvisning|regler|order|direktiv|riktlinj|prompt|instruks|retningslinj|ohjee|kaskyt|ohjeet",
        "tidigare|foregaende|ovanstaende|alla|dina|tidligere|forrige|ovenstaende|foregaende|alle|aiemm|edellis|kaikki|ylla|dina skapare|dine udviklere|saanto",
        "visa|avsloja|skriv|upprepa|beratta|vis |gentag|afslor|fortell|nayta|paljasta|kerro",
        "systemprompt|systeminstruktion|systemmeddelande|losenord|passord|adgangskode|jarjestelmakehote|salasana|(?:texten|allt|teksten|alt|teksti|kaikki)[^.\\n]{0,24}(?:ovanfor|fore det har|over denne|for denne besked|ylapuolel|ennen tata viesti)",
        "\\b[ak]i\\b|intelligen|modell|tekoaly",
        "(?:utan|uden|uten) (?:nagra |nogen |noen )?(?:begransning|begraensning|begrensning|filter|filtre|regler|moral|censur)|ilman (?:rajoituk|suodatt|saanto|sensuur)|ocensurer|ucensurer",
    ),
    Language(
        "id",
        "abaikan|lupakan|hiraukan|kesampingkan|jangan ikuti|jangan patuhi|ketepikan|berhenti mengikuti|berhenti mematuhi|jangan lagi",
        "instruksi|perintah|aturan|arahan|petunjuk|prompt|pedoman|panduan",
        "sebelumnya|terdahulu|di atas|semua|awal|segala|terdahulu|sebelum|anda|pembuatmu|aturanmu",
        "tampilkan|tunjukkan|ungkapkan|beritahu|katakan|ulangi|berikan|cetak|tulis|dedahkan",
        "prompt sistem|instruksi sistem|perintah sistem|kata sandi|kata laluan|pesan sistem|system prompt|(?:teks|semua)[^.\\n]{0,24}(?:sebelum pesan|di atas baris|di atas)",
        "\\bai\\b|kecerdasan|model",
        "tanpa (?:adanya )?(?:batas|filter|aturan|moral|sensor|sekatan|had)|tidak disensor",
    ),
    Language(
        "vi",
        "bo qua|quen|phot lo|lo di|khong tuan theo|khong lam theo|huy bo|ngung tuan|dung tuan|dung nghe|dung lam",
        "huong dan|chi dan|chi thi|quy tac|menh lenh|lenh|yeu cau|prompt|quy dinh",
        "truoc|ben tren|o tren|tat ca|moi |ban dau|phia tren|cua ban|nguoi tao",
        "hien thi|cho toi|tiet lo|noi|lap lai|in ra|viet|dua",
        "loi nhac he thong|prompt he thong|huong dan he thong|mat khau|system prompt|lenh he thong|(?:van ban|moi thu|noi dung)[^.\\n]{0,24}(?:truoc tin nhan|o tren|phia tren)",
        "\\bai\\b|tri tue|mo hinh",
        "khong (?:co |bi )?(?:gioi han|bo loc|rang buoc|dao duc|kiem duyet|han che)",
    ),
    Language(
        "tl",
        "huwag pansinin|kalimutan|balewalain|huwag sundin|puuza|sahau|vergeet|ignoreer|yoksay|yok say|unut|gormezden gel|dikkate alma|itigil ang|huwag nang|acha kufuata|usiendelee|uymayi birak|uyma|itaat etme",
        "tagubilin|utos|panuto|alituntunin|maagizo|amri|instruksies|talimat|kural|yonerge|komut|emir|prompt",
        "nakaraan|naunang|lahat|sa itaas|yaliyotangulia|yote|vorige|onceki|tum |yukaridaki|butun|daha once|simdiye|ilk |sheria zako|iyong|kuralla|gelistirici",
        "goster|soyle|ifsa|acikla|yazdir|tekrarla|ipakita|sabihin|onyesha",
        "sistem istem|sistem prompt|sistem mesaj|sistem talimat|parola|sifre|system prompt|password|(?:metni|metin|her seyi)[^.\\n]{0,24}(?:tekrarla|yaz|kopyala)|(?:mesajdan onceki|yukaridaki) metni",
        "\\bai\\b|yapay zeka|akili bandia|modelo?|intelligensie",
        "(?:sinirsiz|filtresiz|kisitlamasiz|sansursuz|sinirlari olmayan|kurallari olmayan|siniri olmayan)|walang (?:limitasyon|patakaran|filter)|is[iy]{1,2}o na (?:mipaka|sheria)|sonder beperkings",
    ),
)

OTHER = (
    Language(
        "ru",
        "игнорир|проигнорир|забуд|не обращай внимания|пренебрег|отбрось|не учитывай|отмени|обойди|не следуй|не соблюдай|перестань|прекрати|хватит следовать|не слушай",
        "инструкци|указани|правил|команд|приказ|директив|распоряжени|промпт|промт|установк|ограничени",
        "предыдущ|прежн|выше|прошл|ранее|все|начальн|исходн|свои|твои|данные|разработчик|создател",
        "покажи|раскрой|выведи|скажи|назови|повтори|напиши|напечатай|сообщи|выдай|расскажи",
        "системн[^ \\n]{0,24} (?:промпт|промт|инструкци|сообщени|подсказк|запрос)|парол|(?:текст|всё|все|предложени)[^.\\n]{0,40}(?:перед этим|выше|над этой)",
        "нейросет|интеллект|\\bai\\b|\\bdan\\b|модел",
        "без (?:каких-либо |всяких )?(?:ограничени|цензур|фильтр|правил|морал)|не связанн[^ ]{0,12} правил|нецензурирован",
    ),
    Language(
        "uk",
        "ігнор|проігнор|забуд|не зважай|знехтуй|відкинь|не враховуй|скасуй|заборав|забрав|игнориш|пренебрегн|занемари|припини|перестань|спри да|престани",
        "інструкці|вказівк|правил|команд|наказ|директив|розпоряджен|промпт|инструкци|упутств|указани|наредб",
        "попередн|вище|раніше|усі|всі|початков|свої|предишн|горн|всички|претходн|све|изнад|розробник|създател|правилата си|правила",
        "покажи|розкрий|виведи|скажи|назви|повтори|напиши|надай|прикажи|разкри",
        "системн[^ \\n]{0,24} (?:промпт|інструкц|повідомлен|підказк|запит|инструкц|съобщени)|парол|лозинк|(?:текст|усе|все)[^.\\n]{0,40}(?:перед цим|вище|преди това)",
        "інтелект|интелект|интелигенц|\\bai\\b|модел",
        "без (?:жодних |никакви |икаквих )?(?:обмежен|цензур|фільтр|правил|мораль|ограничени|филтр|ограничења)",
    ),
    Language(
        "el",
        "αγνοησ|ξεχασ|ξεχνα|παραβλεψ|παρακαμψ|αγνόησ|ξέχασ|ξέχνα|παράβλεψ|παράκαμψ|αγνοήσ|ξεχάσ|σταματα|σταμάτα|μην ακολουθ|μην υπακου",
        "οδηγι|εντολ|κανον|κανόν|οδηγί|προτροπ",
        "προηγουμεν|προηγούμεν|παραπανω|παραπάνω|ολες|όλες|αρχικ|σου|δημιουργ",
        "δειξε|δείξε|αποκαλυψ|αποκάλυψ|πες|επαναλαβ|επανάλαβ|γραψε|γράψε|εμφανισ|εμφάνισ",
        "προτροπ[^ \\n]{0,12} (?:του )?συστ|οδηγίες (?:του )?συστ|κωδικ|(?:κείμενο|κειμενο|όλα|ολα)[^.\\n]{0,40}(?:πριν από αυτ|πριν απο αυτ|παραπάνω|παραπανω)",
        "νοημοσ|μοντέλ|μοντελ|\\bai\\b",
        "χωρίς (?:κανέναν? )?(?:περιορισμ|φίλτρ|κανόν|όρια)|χωρις (?:περιορισμ|φιλτρ|κανον|ορια)",
    ),
    Language(
        "ar",
        "تجاهل|انس|تناس|تخط|أهمل|اهمل|اغفل|لا تتبع|تجاوز|نادیده|نادیده بگیر|فراموش|نظر انداز|بھول|توقف عن|كف عن|لا تلتزم|پیروی نکن|بھول",
        "تعليمات|التعليمات|الأوامر|أوامر|القواعد|قواعد|توجيهات|التوجيهات|الإرشادات|دستورات|دستورالعمل|دستورهای|قوانین|ہدایات|احکامات|پرامپت",
        "السابقة|سابقة|أعلاه|جميع|كل|الأصلية|قبل|قبلی|بالا|تمام|همه|پچھلی|سابقہ|پہلے|قبلي|قواعدك|مطوريك|قوانینت",
        "أظهر|اكشف|اعرض|أخبرني|كرر|اطبع|اكتب|قل|أعطني|نشان|بگو|آشکار|دکھا|بتا",
        "موجه النظام|تعليمات النظام|رسالة النظام|كلمة المرور|كلمة السر|سیستم|رمز عبور|پاس ورڈ|سسٹم پرامپٹ|(?:النص|كل ما|متن)[^.\\n]{0,40}(?:قبل هذه|يسبق هذه|أعلاه|قبل از این|بالای این)",
        "ذكاء|نموذج|هوش|مدل|اے آئی|\\bai\\b",
        "(?:بلا|بدون|دون) (?:أي |هیچ )?(?:قيود|قواعد|رقابة|مرشحات|أخلاق|حدود|محدودیت|فیلتر|سانسور|قانون)|بغیر پابندی",
    ),
    Language(
        "he",
        "התעלם|התעלמי|התעלמו|שכח|שכחי|תתעלם|תשכח|תפסיק|חדל|הפסק",
        "הוראות|ההוראות|הנחיות|ההנחיות|כללים|הכללים|פקודות|הפקודות",
        "קודמות|הקודמות|לעיל|כל|הקודמים|המקוריות|שלמעלה|שלך|המפתחים",
        "הצג|חשוף|גלה|אמור|ספר|הדפס|חזור",
        "הנחיית המערכת|הוראות המערכת|פרומפט המערכת|סיסמ|(?:הטקסט|כל מה)[^.\\n]{0,40}(?:לפני ההודעה|למעלה|לפני השורה)",
        "בינה|מודל|\\bai\\b",
        "(?:ללא|בלי) (?:שום )?(?:מגבל|הגבל|מסננ|כללים|צנזור|מוסר)",
    ),
    Language(
        "hi",
        "अनदेखा|नजरअंदाज|नज़रअंदाज|भूल जा|उपेक्षा|ध्यान न द|ध्यान मत द|उपेक्षित|দুর্লক্ষ|উপেক্ষা|ভুলে যা|অগ্রাহ্য|दुर्लक्ष|విస్మరించ|புறக்கணி|மறந்து|पालन करना बंद|मानना छोड़|मत मानो|মানা বন্ধ|দুর্লক্ষ করো",
        "निर्देश|आदेश|नियम|अनुदेश|निर्देशों|হুকুম|নির্দেশ|নিয়ম|सूचना|సూచన|ఆదేశ|வழிமுறை|அறிவுறுத்தல்|கட்டளை",
        "पिछले|पिछली|पहले|पूर्व|सभी|उपरोक्त|ऊपर|আগের|পূর্ব|সমস্ত|সব|উপরের|मागील|सर्व|మునుపటి|మునుపు|அனைத்து|முந்தைய|अपने|डेवलपर|নিয়ম",
        "दिखा|बता|प्रकट|दोहरा|लिख|উন্মোচন|দেখা|বল|প্রকাশ|दाखव|చూప|காட்ட",
        "सिस्टम प्रॉम्प्ट|सिस्टम निर्देश|सिस्टम संदेश|पासवर्ड|সিস্টেম প্রম্প্ট|পাসওয়ার্ড|(?:संदेश से पहले|ऊपर लिखा|पंक्ति के ऊपर)[^.\\n]{0,40}(?:पाठ|टेक्स्ट|सब)",
        "एआई|मॉडल|कृत्रिम|এআই|মডেল|\\bai\\b",
        "(?:बिना|बगैर) (?:किसी )?(?:पाबंदी|प्रतिबंध|फ़िल्टर|फिल्टर|नियम|सीमा)|सीमाहीन|(?:সীমাহীন|ফিল্টার ছাড়া|নিয়ম ছাড়া)",
    ),
    Language(
        "zh",
        "忽略|无视|忘记|忘掉|不要理会|不用理会|不理会|抛开|跳过|撇开|放弃|忽視|無視|忘記|不要遵守|不遵守|绕过|略過|停止|别再|不要再|不再",
        "指令|指示|说明|提示|规则|命令|要求|设定|說明|規則|限制|对话|內容|内容|约束|指引",
        "之前|以上|上面|前面|先前|所有|此前|上述|原来|原始|你的|您的|一切|原有|全部|开发者|创造者|任务|遵守",
        "显示|告诉|输出|说出|透露|重复|打印|展示|泄露|公开|揭示|给我|顯示|告訴|輸出|揭露|复述|翻译",
        "系统提示|系统指令|系統提示|提示词|提示詞|密码|密碼|初始指令|系统消息|隐藏指令|口令|内部指令|(?:消息之前|这句话之前|本行以上|上面的?)[^。\\n]{0,18}(?:内容|文字|文本)",
        "人工智能|人工智慧|模型|ai",
        "(?:没有|没有任何|不受|无|無|不受任何|沒有)[^。\\n]{0,18}(?:限制|约束|束縛|規範|规范|过滤|道德|审查)",
    ),
    Language(
        "ja",
        "無視|忘れ|従わない|破棄|無効|取り消|考慮しない|スキップ|従うのをやめ|従わず|やめて",
        "指示|命令|ルール|規則|プロンプト|説明|指令|制約|設定|ガイドライン",
        "これまで|以前|前の|上記|今まで|すべて|全て|先ほど|上の|直前|最初|元の|あなたの|先の|あなたの|開発者の|今やって",
        "表示|教えて|見せ|出力|明かし|繰り返|公開|書い|示し",
        "システムプロンプト|システムの指示|システム指示|システムメッセージ|パスワード|初期指示|隠された指示|(?:メッセージより前|この文より前|この行より上|上に)[^。\\n]{0,24}(?:文章|テキスト|内容)",
        "人工知能|モデル|ai",
        "(?:制限|フィルター|検閲|倫理[^。\\n]{0,9}|制約)[^。\\n]{0,9}(?:ない|なし|のない|されていない)",
    ),
    Language(
        "ko",
        "무시|잊어|잊고|따르지|무효|취소|건너뛰|삭제|그만 따르|따르지 마|멈추고|멈춰",
        "지시|명령|규칙|지침|프롬프트|설명|안내|요청",
        "이전|앞의|위의|위에|지금까지|모든|기존|앞선|원래|당신의|너의|규칙|개발자|네 |하던",
        "보여|알려|출력|공개|말해|반복|표시|드러|밝혀|써",
        "시스템 ?프롬프트|시스템 ?지시|시스템 ?메시지|비밀번호|암호|초기 지시|(?:메시지 앞|이 줄 위|위에 (?:있는|적힌))[^.\\n]{0,24}(?:내용|글|텍스트)",
        "인공지능|모델|ai",
        "(?:제한|필터|규정|검열|제약)[^.\\n]{0,12}(?:없는|없이|되지 않은)",
    ),
    Language(
        "th",
        "ละเว้น|เพิกเฉย|ลืม|ไม่ต้องสนใจ|ไม่สนใจ|มองข้าม|ข้าม|ยกเลิก|หยุดทำตาม|เลิกทำตาม|ไม่ต้องทำตาม",
        "คำสั่ง|คำแนะนำ|กฎ|ข้อกำหนด|พรอมต์|คำชี้แจง",
        "ก่อนหน้า|ข้างต้น|ทั้งหมด|ก่อน|เดิม|ด้านบน|ที่ผ่านมา|ของคุณ|กฎ|ผู้พัฒนา",
        "แสดง|บอก|เปิดเผย|พิมพ์|ทำซ้ำ|เขียน",
        "พรอมต์ระบบ|คำสั่งระบบ|ข้อความระบบ|รหัสผ่าน|system prompt|(?:ข้อความก่อนหน้า|ทุกอย่างข้างต้น)",
        "ปัญญาประดิษฐ์|โมเดล|ai",
        "(?:ไม่มี|ไร้)(?:ข้อจำกัด|ตัวกรอง|ขีดจำกัด|กฎ)",
    ),
)

_GAP = {"latin": r"[^.?!\n]{0,30}", "other": r"[^.?!\n]{0,48}"}


def _expand(language: Language, gap: str) -> list[Pattern]:
    ignore, orders, earlier = f"(?:{language.ignore})", f"(?:{language.orders})", f"(?:{language.earlier})"
    show, prompt = f"(?:{language.show})", f"(?:{language.prompt})"
    model, free = f"(?:{language.model})", f"(?:{language.free})"
    code = language.code
    return [
        Pattern(f"override.{code}1", 1.0, f"{ignore}{gap}{earlier}{gap}{orders}"),
        Pattern(f"override.{code}2", 1.0, f"{ignore}{gap}{orders}{gap}{earlier}"),
        Pattern(f"override.{code}3", 1.0, f"{earlier}{gap}{orders}{gap}{ignore}"),
        Pattern(f"override.{code}4", 1.0, f"{orders}{gap}{earlier}{gap}{ignore}"),
        Pattern(f"extract.{code}1", 0.75, f"{show}{gap}{prompt}"),
        Pattern(f"extract.{code}2", 0.75, f"{prompt}{gap}{show}"),
        Pattern(f"persona.{code}1", 0.75, f"{model}{gap}{free}"),
        Pattern(f"persona.{code}2", 0.75, f"{free}{gap}{model}"),
    ]


LANGUAGES = (
    *(pattern for language in LATIN for pattern in _expand(language, _GAP["latin"])),
    *(pattern for language in OTHER for pattern in _expand(language, _GAP["other"])),
)
