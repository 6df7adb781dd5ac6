"""Words of other languages than English, by kind: some forty languages, as the folded reading has them.

An override in Portuguese and one in Polish are the same sequence of kinds, whichever of them was seen in training.
A word that English has too, in another sense, is not here; languages without spaces have patterns instead.
"""

from __future__ import annotations

TONGUES = {
    "drop": "ignorier missachten verwerfe ubergehe umgehe losche loschen streiche aufgehoben uberschreibe"
    " deaktiviere abschalten scheiss pfeif ignorad olvidate olvidese olvidad omitir descartar desactiva"
    " desactivar elimina borra anula anuladas cancela saltate desobedece oublier desactive desactiver"
    " supprime efface annule annulees contourne esquecer ignorando desconsidera descarte desative desativa"
    " apague anule cancele ignorate dimenticati scorda scordati disattiva annulla cancella tralascia"
    " negeert vergeten verwijder uitschakelen ignorowac zignorowac zapomniec pomijaj odrzuc wylacz usun"
    " anuluj забыть отбрось отмени отменены отменяются отменяю отключи отключить отключены выключи сотри"
    " удали наплюй ігноруйте проігноруй відкинь вимкни скасуй скасовано забути unutun gormezden bosver"
    " kapat iptal hapus batalkan matikan hiraukan zapomente ignorujte vypni zrus preskoc zabudni glomma"
    " strunta bortse avaktivera glemme deaktiver unohtaa sivuuta poista felejtsd hagyd torold mellozd"
    " ignorati uitati dezactiveaza anuleaza sterge ignorirajte zaboravite игнориши заборави забрави"
    " игнорирай пренебрегни изключи ξέχνα ξεχάστε αγνοήστε απενεργοποίησε انسى تجاهلوا تجاهلي ألغ ألغِ תשכח"
    " תתעלם فراموش نادیده भूल भूलो भूलकर अनदेखा नज़रअंदाज़ oblida ignoreeri unusta pamirsk ignoruok"
    " aizmirsti pozabi prezri sahau puuza kalimutan balewalain",
    "not": "nicht kein keine keinen keiner nichts ohne nie niemals nunca nada sin ninguna ningun ninguno jamais"
    " rien sans aucune aucun pas nao sem nenhuma nenhum senza mai nessuna nessun niente niet geen zonder"
    " nooit niks nigdy bez zadnych zaden нет не без никогда никаких никто ничего ні ніколи жодних degil"
    " hicbir asla tanpa jangan tidak bukan khong dung zadne nikdy utan aldrig inga ikke uden aldri ingen"
    " ilman koskaan nem ne soha fara niciodata nimic nikad μην δεν χωρίς ποτέ بلا بدون לא בלי نکن मत बिना"
    " नहीं walang hindi",
    "earlier": "vorher bisher zuvor obige obigem anfangs ursprungliche alten fruhere vorangegangene oben davor antes"
    " arriba iniciales inicial originales dicho previo previos precedent avant dessus haut precedemment"
    " initiale anciennes anterioridade acima iniciais originais antiga antigas prima sopra iniziali"
    " iniziale originali precedente vecchie boven eerder vorig oude eerste voorgaande powyzej wczesniejsze"
    " wczesniej poprzednia dotychczasowe pierwotne выше раньше прежде ранее прежняя предыдущую начальные"
    " начальная изначальные перед вище раніше попередня попереднє початкові yukaridaki oncesi onceden ilk"
    " baslangic eski atas awal terdahulu tadi truoc tren vyse drive puvodni predchozich uvodni povodne"
    " predtym ovan forut ursprungliga ovenfor foregaende foregaaende ylla aiempi alkuperaiset fent elobbi"
    " korabbi eddigi eredeti ranije prije раније пре преди горните предишните παραπάνω πριν αρχικές"
    " προηγούμενη السابق أعلاه קודמות למעלה הקודם قبلی بالا पहले पिछले ऊपर पुराने anteriors dalt eelmised"
    " ankstesnius ieprieksejos prejsnja awali naunang",
    "orders": "auftrag vorgabe befehl weisungen richtlinie einschrankungen einschrankung beschrankungen filtern"
    " limites restricciones instruccion regla orden indicaciones normas limite contraintes consigne regle"
    " ordres restricoes instrucao regra orientacoes limitacoes restrizioni istruzione regola limiti filtri"
    " direttiva ordine opdracht beperkingen richtlijnen regel instructie polecenie zasad ograniczen"
    " ograniczenia wytyczne wytycznych regul правил инструкция инструкцию инструкциям ограничения"
    " ограничений указание приказы запреты фильтры фильтров вказівки вказівок обмежень обмеження наказів"
    " заборони talimat talimatlar kural kurallar yonerge yonergeyi yonergeleri sinirlama kisitlama petunjuk"
    " batasan larangan perintahku arahan peraturan lenh instrukci pokyn omezeni prikazy obmedzenia"
    " begransningar begraensninger instruks anvisningar ohjeita rajoitukset utasitasok utasitasokat"
    " szabalyok szabalyokat korlatozas instructiuni reguli restrictii restrictiile ogranicenja uputa"
    " ограничења инструкциите правилата κανόνες περιορισμούς οδηγιών تعليمات قواعد قواعدك القيود توجيهات"
    " التوجيهات הוראות כללים ההנחיות הנחיות مجوز دستورات قوانین निर्देश निर्देशों नियम नियमों आदेश juhised"
    " reeglid piirangud instrukcijas noteikumus taisykles nurodymus navodila maagizo sheria tagubilin utos"
    " limitasyon",
    "prompt": "systemprompt systemprompts systemprompten systeemprompt systemmeldung systemnachricht startprompt"
    " rendszerprompt rendszerpromptot промпт промпта системпромпт promptul prompta promptu promptunu istemi"
    " istemini prompten πρόμπτ προτροπή البرومبت פרומפט پرامپت प्रॉम्प्ट susteemiviip susteemiviipa",
    "system": "sistema systeme systeem systemowy systemowa systemove systemovy systemova системный системную"
    " системное системная системні системний sistem sistemi sistemos sistemas mfumo geheimen geheime"
    " versteckten versteckte verborgen verborgene vertraulich interne internen oculto oculta ocultas"
    " secreta secretas interna internas cachee cachees secretes confidentielles escondida escondidas"
    " nascosto nascoste nascosta segrete riservate vertrouwelijke ukryte ukryty tajne poufne скрытые"
    " скрытый скрытую тайные внутренние прихований приховані таємні gizli sakli tersembunyi skryte skryty"
    " dolda dold hemliga skjulte hemmelige piilotettu salaiset rejtett titkos ascunse ascuns skrivene"
    " сакривене скритите κρυφές μυστικές السرية المخفية הסודיות הסודית مخفی गुप्त छिपे",
    "speech": "nachricht gesprach satz zeile worter texte wortlaut mensaje mensajes texto textos conversacion frase"
    " frases linea lineas palabras textes ligne lignes mots mensagem mensagens conversa linha linhas"
    " palavras messaggio messaggi testo righe riga parole bericht berichten tekst zin gesprek wiadomosc"
    " wiadomosci zdanie rozmowa rozmowy linijka сообщение сообщения текст тексту текста фразу строку строки"
    " слова разговор повідомлення рядок розмова metni metin mesaj mesaji cumle pesan teks kalimat zprava"
    " zpravu veta meddelande texten meddelelse besked teksten viesti tekstin uzenet szoveg szoveget mesajul"
    " textul poruka poruku порука съобщението κείμενο μήνυμα النص الرسالة المحادثة הטקסט השיחה متن پیام"
    " टेक्स्ट संदेश वाक्य",
    "show": "zeigt zeigen offenlegen offenbare verrat kopiere kopier zitiere zitier drucke liste auflisten gebe"
    " ausgeben preisgib ensena ensename mostrar copia copiame pega imprimir lista enumera revelar repetir"
    " recita comparte recopie copie recopiez afficher cite citer devoile partage repetez reproduis exibe"
    " exibir imprima transcreva ripetimi ripetere elenca incolla stampa riporta riportami trascrivi rivela"
    " rivelami laat kopieer noem onthul citeer wypisz przepisz wyswietl zacytuj zdradz podaj skopiuj"
    " покажите выведите повторите процитируй перечисли скопируй раскройте выдай напечатай распечатай"
    " процитуй виведи перелічи скопіюй розкрий tekrar listele kopyala acikla aciga tampilkan salin ulang"
    " ungkapkan bocorkan hien opis zopakuj vypis prozrad zobraz avsloja kopiera gentag afslor gengiv avslor"
    " kopioi listaa paljasta tulosta mutasd ismeteld masold sorold afiseaza copiaza listeaza dezvaluie"
    " pokazi ponovi otkrij ispisi понови откриј препиши препишите αντίγραψε επανάλαβε εμφάνισε αποκάλυψε"
    " اعرض كرر انسخ أخبرني העתק חזור תראה תגלה نشان تکرار بنویس दिखाओ दिखाइए दोहराओ repeteix naita korda"
    " parodyk pakartok parodi atkarto onyesha rudia ipakita ulitin",
    "tell": "sagt sagen sagte nennen erzahl erzahle beantworte antworten schreiben mitteilen decir digas cuenta"
    " cuentame escribir responder responda contesta explica raconte dire dites ecrire repondre repondez"
    " explique fala fale falar conta escrever racconta scrivimi rispondimi spiega vertel vertellen zeggen"
    " schrijven antwoorden opowiedz mow odpowiadaj odpowiadac pisz говори расскажи отвечай ответьте"
    " напишите объясни назови розкажи відповідай назви поясни anlat cevap cevapla yanitla bicara jawab"
    " jawablah ceritakan noi odpovidej odpovez napis povedz odpovedaj beratta svara saga svar fortael"
    " fortell vastaa sano kirjoita mondd ird valaszolj spuneti raspunde povej odgovori odgovaraj napisi"
    " кажи отговори πείτε γράψε απάντησε أجب أخبرنا ענה תענה אמור תגיד جواب بگو बताओ बोलो जवाब लिखो सुनाओ"
    " sema jibu andika sabihin sagutin isulat digues respon utle vasta sakyk atsakyk saki atbildi",
    "secret": "passworter losungswort codewort schlussel geheimwort contrasenas clave claves secretos cle cles"
    " codigo senhas segredos chave chiave chiavi codice sleutel wachtwoorden hasla tajemnica klucz пароля"
    " паролем ключ ключа секрета секрети таємницю sifreyi sifresi kunci rahasianya klic tajemstvi kluc"
    " losenordet nyckel kode koden nogle nokkel salasanan avain jelszot jelszo kulcs titkot parolei cheia"
    " sifra lozinku шифра лозинка парола κωδικό μυστικό κλειδί المفتاح السري סיסמה הסיסמה סוד رمز راز"
    " पासवर्ड राज़ contrasenya parool slaptazodi geslo nenosiri siri lihim",
    "you": "du dich dir ihr bist hast kannst sollst musst darfst ti te eres tienes puedes debes usted vous toi"
    " peux dois voce tens podes deve sei hai puoi devi ben bent jij jou hebt kunt moet jestes masz mozesz"
    " musisz ciebie ты тебя тебе тобой вы вас вам ви sen sana seni siz kamu anda engkau jsi mas muzes musis"
    " har sinulle sinua olet neked vagy esti poti trebuie теб εσύ είσαι σου أنت لك אתה לך تو شما तुम तुझे"
    " तुम्हें आप ikaw wewe ets oled",
    "your": "deines deinem dein eurer ihrem tuyo tuyas vuestra notre seu sua teu tua teus tuas vostre uw jullie"
    " twoj twoja twoim twoich swoj swoja твоя твоё твою твоей твоих свою своих вашу твої своїх твоїх senin"
    " gorevin kurallarini svuj svoje tvoje tvoj ditt sinun sajat tau teale tvoja твоје твоите δικές",
    "me": "mir mich mi moi mim mij mnie мне меня мені мене bana beni saya aku mne mig minulle nekem mie meni мен"
    " μου لي לי मुझे ako",
    "model": "ki kunstliche intelligenz modell assistent assistentin sprachmodell ia inteligencia artificial"
    " asistente modelo intelligence artificielle modele assistente modello intelligenza artificiale"
    " taalmodel asystent asystentem sztuczna inteligencja ассистент ассистента модель нейросеть бот"
    " асистент asistan yapay zeka asisten asistent assistenten tekoaly avustaja asszisztens mesterseges"
    " pomocnik vestacka помощник βοηθός المساعد נמוד עוזר دستیار सहायक",
    "told": "gesagt gegeben bekommen erhalten eingestellt programmiert dijeron dieron dado dadas recibido"
    " recibidas recibiste configuro configuraron configurado donnees recues recu programme recebeu"
    " recebidas disseram deram programado ricevuto ricevute dato detto gezegd gegeven gekregen ingesteld"
    " dostales otrzymales powiedziano podano dane сказали дали получил получила данные велели настроили"
    " учили отримав дано verilen soylenen ogretilen diberikan diberi disuruh zadane receno dostal fatt fick"
    " faet annettu sanottu kaptal mondtak primit spus речено δόθηκαν είπαν أعطيت قيل קיבלת אמרו گفتند बताया"
    " दिया",
    "may": "muss soll darf debe puede doit peut pode puo mag wolno можешь должен нельзя можно можеш повинен мусиш"
    " olmali zorunda harus boleh bisa phai duoc smis maste skal pitaa saat kell szabad moras mozes",
    "all": "alles samtliche samtlichen gesamte gesamten ganze komplett vollstandig todo todas todos toda entero"
    " completo completa tout tous toute toutes entier integralement tudo inteiro tutto tutte tutti intero"
    " hele volledige volledig wszystko wszystkich caly cala wszystkimi pelna pelny всё все весь всю всех"
    " полностью целиком усі всі повністю увесь tum butun hepsi semua seluruh segala lengkap vsechno vsechny"
    " cely vsetky vsetko allt alla hela kaikki koko minden osszes teljes toate toata sve svi celo све сва"
    " всички всичко όλα όλες όλους كل جميع جميعها כל הכול همه تمام सब सभी पूरा सारे yote lahat koik visus"
    " visas visu",
    "exact": "wortlich wort wortgenau genau woertlich literal literalmente exactamente exactement textuellement"
    " integral palavra exatamente esattamente letterale letterlijk precies doslownie dokladnie дословно"
    " точно буквально дослівно kelimesi aynen harfiyen persis doslova presne ordagrant exakt ordret"
    " noyagtigt nojaktig sanatarkasti szorol pontosan cuvant doslovno ακριβώς αυτολεξεί حرفيا בדיוק दقیقا"
    " हूबहू",
    "pretend": "spiel spiele verhalte rolle stell vorstellen simuliere finge fingir haz imagina actua juega papel rol"
    " simula joue semblant simule finja aja atue fingi immagina comportati ruolo interpreta speel stel"
    " udawaj zachowuj wyobraz badz zagraj притворись представь сыграй роль веди уяви прикинься зіграй"
    " davran oyna canlandir berpura bayangkan anggap gia hraj predstav chovej latsas latsasa lek spela"
    " leiki esita kuvittele jatszd tegyel prefa imagineaza joaca pravi glumi zamisli преструвай παρίστανε"
    " κάνε تظاهر تخيل תעמיד דמיין وانمود मानो कल्पना",
    "now": "jetzt nun ahora maintenant desormais agora adesso nu voortaan teraz odtad теперь отныне сейчас тепер"
    " відтепер зараз artik simdi bundan sekarang mulai ted odted nyni odteraz fran hereafter nyt tasta"
    " mostantol acum sada odsada сада сега τώρα الآن עכשיו اکنون الان अब abhi ara nuud dabar tagad zdaj"
    " sasa ngayon",
    "new": "neue neuen neuer neues wahre echte nueva nuevas nuevo nuevos verdadera nouvelle nouvelles nouveau"
    " vraies nova novas novo novos verdadeira nuova nuove nuovo nuovi vere nieuwe nowe nowy nowa prawdziwe"
    " новые новая новое новую новый настоящие новий нова нові справжні yeni gercek baru nove novy nya ny"
    " nytt nye uusi uudet uj valodi noua nov нови нове νέες νέα جديدة الجديدة חדשות חדש جدید नया नए नई",
    "free": "frei ungefiltert uneingeschrankt filterlos libre libres etica livre livres filtro filtros libero"
    " liberi vrij ongefilterd filtrow wolny nieograniczony свободен свободно фильтра морали вільний вільно"
    " ozgur filtresiz sinirsiz bebas volny fri fritt vapaa liber slobodan слободан ελεύθερος حر חופשי آزاد"
    " आज़ाद",
    "claim": "entwickler betreiber erlaubnis testmodus wartung desarrollador administrador creador permiso"
    " autorizado developpeur administrateur createur desenvolvedor criador permissao sviluppatore"
    " amministratore creatore permesso autorizzato ontwikkelaar beheerder toestemming programista tworca"
    " zgoda разработчик администратор создатель разрешение розробник адміністратор gelistirici yonetici"
    " izin pengembang vyvojar spravce povoleni utvecklare udvikler utvikler kehittaja yllapitaja fejleszto"
    " rendszergazda dezvoltator programer προγραμματιστής المطور المسؤول מפתח מנהל توسعهدهنده डेवलपर",
    "obey": "gehorche befolge folge folgen halte obedece obedecer sigue seguir obeis suis obeir obedeca siga"
    " obedire obbedisci segui gehoorzaam volg sluchaj sluchac przestrzegaj слушайся следуй подчиняйся"
    " слушать слухайся виконуй itaat uy dinle patuhi ikuti mengikuti nghe poslouchej poslechni posluchaj"
    " lyd lyda folj tottele seuraa engedelmeskedj kovesd asculta urmeaza slusaj послушай υπάκουσε"
    " ακολούθησε أطع اتبع תציית اطاعت sundin",
    "mode": "modus entwicklermodus modo modalita tryb trybie режим режиме режимі modu modunda rezim rezimu laget"
    " tilstand tila uzemmod modul режима λειτουργία وضع מצב حالت मोड",
    "only": "nur ausschliesslich solo unicamente solamente seulement uniquement somente apenas soltanto alleen"
    " enkel tylko wylacznie только лишь тільки лише sadece yalnizca hanya cuma jen pouze iba bara endast"
    " kun csak kizarolag doar numai samo само μόνο فقط רק केवल सिर्फ tikai ainult tik tu",
    "please": "bitte plait favor piacere alsjeblieft prosze пожалуйста lutfen tolong prosim snalla venligst kerlek"
    " rog molim моля παρακαλώ فضلك בבקשה لطفا कृपया",
}
"""Words by kind; the kinds are those of `kinds`."""
